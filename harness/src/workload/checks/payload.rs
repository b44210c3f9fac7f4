//! A payload file in the tree of a workload: its path, the sizes of its lines, and keys that contradict it.

use super::problems::Problems;
use crate::workload::reading::tree::{Node, Origin, Value};
use crate::workload::{PayloadSource, Split, Workload};
use std::path::Path;

/// The key that holds the file's path.
const PATH: &str = "payload.path";

/// Makes a relative path relative to the working directory. A path in a workload file is relative to that file's
/// directory. A path from the command line is relative to the working directory already.
pub(in crate::workload) fn locate(root: &mut Node, label: &str) {
    let directory = Path::new(label).parent().unwrap_or(Path::new(""));
    let located = |node: &Node| match &node.value {
        Value::Scalar { text, style } if node.place.origin == Origin::File => {
            let text = directory.join(text).to_string_lossy().into_owned();
            Node { place: node.place, value: Value::Scalar { text, style: *style } }
        }
        _ => node.clone(),
    };
    if let Some(path) = root.find(PATH).map(located) {
        root.set(&["payload", "path"], path);
    }
    if let Some(Node { place, value: Value::List(paths) }) = swept(root, PATH).cloned() {
        let paths = paths.iter().map(located).collect();
        root.set(&["sweep", PATH], Node { place, value: Value::List(paths) });
    }
}

/// Returns the `message_size` that was written, if the payload is a file. Its records have the sizes of their lines.
pub(in crate::workload) fn needless_size(root: &Node) -> Option<&Node> {
    let kind = root.find("payload.kind")?;
    let is_file = matches!(&kind.value, Value::Scalar { text, .. } if text == "file");
    is_file.then(|| root.find("message_size").or_else(|| swept(root, "message_size"))).flatten()
}

/// Returns the values that the sweep has for a key.
fn swept<'r>(root: &'r Node, key: &str) -> Option<&'r Node> {
    let Value::Map(entries) = &root.find("sweep")?.value else { return None };
    entries.iter().find(|(swept, _)| swept.name == key).map(|(_, node)| node)
}

/// Refuses a payload file that cannot be used.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let PayloadSource::File(file) = &workload.payload.source else { return };
    if file.split != Split::Lines {
        return;
    }
    let sizes = match file.sizes() {
        Ok(sizes) => sizes,
        Err(reason) => return problems.refuse(&[PATH, "payload"], reason),
    };
    let needed = workload.largest_batch_of_one();
    if needed > workload.batch.max_bytes {
        let message = format!(
            "line {} of {} has {} bytes; a batch with only this line takes up to {} bytes, more than `batch.max_bytes` ({})",
            sizes.largest_line,
            file.path.display(),
            sizes.largest_bytes,
            needed.0,
            workload.batch.max_bytes
        );
        problems.refuse(&[PATH, "batch.max_bytes"], message);
    }
}
