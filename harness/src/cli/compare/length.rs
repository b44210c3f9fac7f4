//! The numbers on a command line of `vnotch compare`: how many pairs, how precise, and which difference matters.

use super::Args;
use crate::campaign::compare::Length;
use crate::exit::UsageError;
use crate::result::comparison::PAIRS_LIMIT;
use crate::workload::Fraction;

/// The band unless `--band` sets it: the least difference that matters.
pub(super) const BAND: f64 = 0.02;
/// Pairs unless `--pairs` says otherwise.
pub(super) const PAIRS: usize = 10;
/// Pairs of `--calibrate`.
pub(super) const CALIBRATION_PAIRS: usize = 20;
/// Pairs at most with `--precision`, unless `--pairs-max` says otherwise.
pub(super) const PAIRS_MAX: usize = 40;
/// The least number of pairs with `--precision`: the first ones say how many are needed.
const PILOT_PAIRS: u32 = 10;

/// Returns the number of pairs that a command line asks for.
///
/// # Errors
/// A [`UsageError`] if the options do not go together, or if a number is out of its range.
pub(super) fn length(args: &Args) -> anyhow::Result<Length> {
    match (&args.precision, args.pairs, args.pairs_max) {
        (Some(_), Some(_), _) => refuse(
            "--pairs is a fixed number of pairs, and --precision finds the number; use one of them (--pairs-max bounds \
             --precision)",
        ),
        (None, _, Some(_)) => {
            refuse("--pairs-max bounds --precision; give --precision too, such as 1%, or use --pairs")
        }
        (Some(text), None, most) => {
            let half_width = share("--precision", text)?;
            if half_width <= 0.0 {
                return refuse("--precision 0 cannot be reached; write it like `--precision 1%`");
            }
            let pairs_max = match most {
                Some(most) if !(PILOT_PAIRS..=PAIRS_LIMIT).contains(&most) => {
                    return refuse(format!(
                        "--pairs-max {most}: the first {PILOT_PAIRS} pairs say how many are needed, so at least these are \
                         measured; write a number from {PILOT_PAIRS} to {PAIRS_LIMIT}"
                    ));
                }
                Some(most) => crate::num::index(most),
                None => PAIRS_MAX,
            };
            Ok(Length::Precision { half_width, pairs_max })
        }
        (None, Some(pairs), None) if !(1..=PAIRS_LIMIT).contains(&pairs) => {
            refuse(format!("--pairs {pairs}: write a number from 1 to {PAIRS_LIMIT}"))
        }
        (None, Some(pairs), None) => Ok(Length::Pairs(crate::num::index(pairs))),
        (None, None, None) => Ok(Length::Pairs(if args.calibrate { CALIBRATION_PAIRS } else { PAIRS })),
    }
}

/// Returns the least difference that matters, as a share.
///
/// # Errors
/// A [`UsageError`] if it is no percentage below 50 %.
pub(super) fn band(args: &Args) -> anyhow::Result<f64> {
    args.band.as_deref().map_or(Ok(BAND), |text| share("--band", text))
}

/// Reads a share such as `2%`. A number without the sign may be meant either way, so it is refused.
fn share(option: &str, text: &str) -> anyhow::Result<f64> {
    let wrong =
        || UsageError::error(format!("{option} {text}: write a percentage below 50%, such as `{option} 2%`"));
    if !text.trim().ends_with('%') {
        return Err(wrong());
    }
    let Fraction(share) = text.parse().map_err(|_| wrong())?;
    if share < 0.5 { Ok(share) } else { Err(wrong()) }
}

fn refuse<T>(message: impl Into<String>) -> anyhow::Result<T> {
    Err(UsageError::error(message))
}
