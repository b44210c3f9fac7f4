//! The command that the first screen proposes to run next: the run that was made, with one change.

use crate::result::RunResult;
use crate::stats::INTERVAL_TRIALS_MIN;
use crate::workload::{Durability, PassKind};

/// Returns a command line and its purpose. `arguments` are the workload and the flags that were typed for it.
pub(super) fn next(result: &RunResult, arguments: &[String]) -> String {
    let open = result.points.iter().any(|point| point.pass == PassKind::Open);
    let trials = result.points.iter().map(|point| point.trials.len()).min().unwrap_or(0);
    let durability = result.points.last().map(|point| point.durability);
    let (flag, value, purpose) = if !open {
        ("--rate", "50%".to_owned(), "latencies at half of this rate")
    } else if trials < INTERVAL_TRIALS_MIN {
        ("--trials", INTERVAL_TRIALS_MIN.to_string(), "enough trials for intervals")
    } else {
        let other = if durability == Some(Durability::Written) { "synced" } else { "written" };
        ("--set", format!("durability={other}"), "to compare with another setting")
    };
    let mut words = vec!["vnotch".to_owned(), "run".to_owned()];
    words.extend(changed(arguments, flag, &value));
    let line: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("{}   ({purpose})", line.join(" "))
}

/// Returns the arguments with one flag set. The flag replaces what was typed for the same key.
fn changed(arguments: &[String], flag: &str, value: &str) -> Vec<String> {
    let key = |set: &str| set.split('=').next().unwrap_or_default().to_owned();
    let mut changed: Vec<String> = arguments.iter().take(1).cloned().collect();
    for pair in arguments.get(1..).unwrap_or_default().chunks(2) {
        let is_replaced = match pair {
            [typed, set] if typed == "--set" && flag == "--set" => key(set) == key(value),
            [typed, ..] => typed == flag,
            [] => false,
        };
        if !is_replaced {
            changed.extend_from_slice(pair);
        }
    }
    changed.extend([flag.to_owned(), value.to_owned()]);
    changed
}

/// Quotes a word for a shell, if it has a character that a shell could change.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_flag_replaces_the_one_that_was_typed() {
        let typed = words("a.yaml --set message_size=1B --set durability=synced --trials 2");
        assert_eq!(
            changed(&typed, "--set", "durability=written"),
            words("a.yaml --set message_size=1B --trials 2 --set durability=written")
        );
        assert_eq!(
            changed(&typed, "--trials", "6"),
            words("a.yaml --set message_size=1B --set durability=synced --trials 6")
        );
        assert_eq!(changed(&[], "--rate", "50%"), ["--rate", "50%"]);
    }

    #[test]
    fn a_shell_reads_back_each_word() {
        for (word, line) in [
            ("workloads/a.yaml", "workloads/a.yaml"),
            ("50%", "50%"),
            ("my file.yaml", "'my file.yaml'"),
            ("it's", r"'it'\''s'"),
            ("sweep.trials=[1, 2]", "'sweep.trials=[1, 2]'"),
            ("$HOME", "'$HOME'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), line);
        }
    }
}
