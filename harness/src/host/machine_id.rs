//! An id that tells machines apart and does not reveal the machine's own id, which machine-id(5) asks to keep private.

use super::environment::read;
use sha2::{Digest as _, Sha256};

/// Identifies the machine across boots; made when the system was installed.
const MACHINE_ID: &str = "/etc/machine-id";
/// Identifies one boot of the kernel.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Bytes of the hash that are kept: enough that no two machines share an id by chance.
const ID_BYTES: usize = 16;

/// A hash of the machine's id, hexadecimal. Without a machine id it is a hash of the kernel's boot id, which changes at each
/// boot. `None` if neither can be read.
pub fn machine_id() -> Option<String> {
    [MACHINE_ID, BOOT_ID].into_iter().find_map(|path| hash(&read(path)?))
}

/// A number for this machine in the stamps of its records, below 4096: the first three digits of [`machine_id`]. 0 if the
/// machine has no id.
pub fn machine_number() -> u32 {
    machine_id().map_or(0, |id| number_of(&id))
}

fn number_of(id: &str) -> u32 {
    id.get(..3).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

/// The id made of a file's content; `None` if it holds no id: systemd writes `uninitialized` before the first boot.
fn hash(content: &str) -> Option<String> {
    let id = content.trim();
    (!id.is_empty() && id != "uninitialized").then(|| {
        // The prefix keeps the id apart from those that other programs hash.
        let digest = Sha256::digest(format!("vnotch machine {id}"));
        digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_hash_that_does_not_hold_the_original() {
        let id = hash("0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(id.len(), 2 * ID_BYTES);
        assert!(!id.contains("0123456789abcdef"));
        assert_eq!(hash("0123456789abcdef0123456789abcdef"), Some(id.clone()));
        assert_ne!(hash("1123456789abcdef0123456789abcdef"), Some(id));
    }

    #[test]
    fn the_number_of_a_machine_is_the_start_of_its_id() {
        assert_eq!(number_of("fff0a1"), 0xfff);
        assert_eq!(number_of("01"), 0);
        assert!(machine_number() < 4096);
    }

    #[test]
    fn an_empty_or_uninitialized_file_holds_no_id() {
        assert_eq!(hash(" \n"), None);
        assert_eq!(hash("uninitialized\n"), None);
    }

    #[test]
    fn this_machine_has_the_same_id_each_time() {
        assert!(machine_id().is_some());
        assert_eq!(machine_id(), machine_id());
    }
}
