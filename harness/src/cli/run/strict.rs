//! `--strict`: flags that make a run fail.

use crate::exit::UsageError;
use crate::result::{Verdict, VerdictFlag};
use std::collections::BTreeSet;

/// The flags that make a run fail; none without `--strict`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Strict(BTreeSet<VerdictFlag>);

impl Strict {
    /// Reads the value of `--strict`. Without a value it stands for every flag.
    ///
    /// # Errors
    /// A [`UsageError`] that lists the flags, if there is no flag of such a name.
    pub(in crate::cli) fn parse(typed: Option<Option<&str>>) -> anyhow::Result<Self> {
        let Some(typed) = typed else { return Ok(Self::default()) };
        let Some(names) = typed else { return Ok(Self(VerdictFlag::ALL.into())) };
        let flag = |name: &str| {
            VerdictFlag::named(name.trim()).ok_or_else(|| {
                let all = VerdictFlag::ALL.map(VerdictFlag::name).join(", ");
                UsageError::error(format!(
                    "--strict={names}: `{}` is no flag; the flags are {all}",
                    name.trim()
                ))
            })
        };
        Ok(Self(names.split(',').map(flag).collect::<anyhow::Result<_>>()?))
    }

    /// Returns a message that names the flags which make these verdicts a failure; `None` if they have none of them.
    pub(super) fn failure<'a>(&self, verdicts: impl Iterator<Item = &'a Verdict>) -> Option<String> {
        let raised: BTreeSet<VerdictFlag> = verdicts.flat_map(|verdict| &verdict.flags).copied().collect();
        let found: Vec<&str> = self.0.intersection(&raised).map(|flag| flag.name()).collect();
        (!found.is_empty()).then(|| format!("--strict: flagged {}", found.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{ExitStatus, status_of};

    fn failure(typed: Option<Option<&str>>, flags: &[VerdictFlag]) -> Option<String> {
        let mut verdict = Verdict::default();
        flags.iter().for_each(|flag| verdict.flag(*flag, "why"));
        Strict::parse(typed).unwrap().failure([Verdict::default(), verdict].iter())
    }

    #[test]
    fn any_flag_fails_or_only_the_named_ones() {
        let flags = [VerdictFlag::Short, VerdictFlag::NoisyDisk];
        assert_eq!(failure(None, &flags), None);
        assert_eq!(failure(Some(None), &flags).unwrap(), "--strict: flagged noisy_disk, short");
        assert_eq!(failure(Some(None), &[]), None);
        assert_eq!(failure(Some(Some("short, not_steady")), &flags).unwrap(), "--strict: flagged short");
        assert_eq!(failure(Some(Some("not_steady")), &flags), None);
    }

    #[test]
    fn a_name_that_is_no_flag_is_refused_with_the_names() {
        let error = Strict::parse(Some(Some("short,noise"))).unwrap_err();
        assert_eq!(status_of(&error), ExitStatus::Usage);
        let message = error.to_string();
        assert!(
            message.contains("`noise` is no flag") && message.contains("noisy_disk, noisy_cpu"),
            "{message}"
        );
        assert!(Strict::parse(Some(Some(""))).is_err());
    }
}
