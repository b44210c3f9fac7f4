//! The owner of the catalog: on shard 0, one request at a time reads or changes it.

use crate::catalog::Catalog;
use crate::disk::PatientDisk;
use crate::disk::uring::UringDisk;
use crate::shard::Shard;
use futures_util::lock::Mutex;

/// The disk of a shard: operations wait for a free descriptor for a while if there is none.
pub(crate) type ShardDisk = PatientDisk<UringDisk>;

/// The catalog of the data directory. Shard 0 has it once the engine has opened it; other shards have none.
#[derive(Default)]
pub(crate) struct CatalogOwner(Mutex<Option<Catalog>>);

impl Shard {
    /// Makes this shard the owner of the catalog.
    pub(crate) async fn own_catalog(&self, catalog: Catalog) {
        *self.catalog.0.lock().await = Some(catalog);
    }

    /// Runs `work` on the catalog. Returns `None` if this shard has no catalog.
    ///
    /// Another request waits until `work` has ended. The engine sends one change after the other. But the caller of a
    /// change may give up on a stuck shard while the work is still running there.
    pub(crate) async fn with_catalog<R>(
        &self,
        work: impl AsyncFnOnce(&ShardDisk, &mut Catalog) -> R,
    ) -> Option<R> {
        let mut catalog = self.catalog.0.lock().await;
        match catalog.as_mut() {
            Some(catalog) => Some(work(&self.context.disk, catalog).await),
            None => None,
        }
    }
}
