//! Profiles: the change of an open load's rate over the measured window. Pure arithmetic with multiples of `load.rate`.

use crate::workload::units::{Fraction, TimeSpan};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// A profile with its parameters. Before the window opens, the rate is the one with which the window begins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Profile {
    /// The rate is `load.rate` throughout.
    #[default]
    Constant,
    /// The rate goes from one multiple of `load.rate` to another, in a straight line over the window.
    Ramp(Ramp),
    /// The rate goes from one multiple to another in equal steps of equal length.
    Step(Step),
    /// The rate goes up and down around `load.rate`.
    Sine(Sine),
    /// The rate is `load.rate`, and a multiple of that at the end of each period.
    Burst(Burst),
}

/// Parameters of a ramp, as multiples of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ramp {
    /// Multiple when the window opens.
    pub from: f64,
    /// Multiple when the window closes.
    pub to: f64,
}

/// Parameters of stairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Step {
    /// Multiple of the rate on the first stair.
    pub from: f64,
    /// Multiple of the rate on the last stair.
    pub to: f64,
    /// Number of stairs in the window, at least 2.
    pub stairs: u32,
}

/// Parameters of a sine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sine {
    /// Distance that the rate goes up and down, as a share of `load.rate`.
    pub amplitude: Fraction,
    /// Length of a period.
    pub period: TimeSpan,
}

/// Parameters of bursts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Burst {
    /// Rate during a burst, as a multiple of `load.rate`.
    pub factor: f64,
    /// Time from the end of a burst to the end of the next.
    pub every: TimeSpan,
    /// Length of a burst.
    pub length: TimeSpan,
}

impl Default for Ramp {
    fn default() -> Self {
        Self { from: 0.5, to: 1.5 }
    }
}

impl Default for Step {
    fn default() -> Self {
        Self { from: 0.5, to: 1.5, stairs: 5 }
    }
}

impl Default for Sine {
    fn default() -> Self {
        Self { amplitude: Fraction(0.5), period: TimeSpan::seconds(10) }
    }
}

impl Default for Burst {
    fn default() -> Self {
        let length = TimeSpan(std::time::Duration::from_millis(500));
        Self { factor: 2.0, every: TimeSpan::seconds(5), length }
    }
}

impl Profile {
    /// Returns the integral of the multiple from the window's opening to `t_s`, in a window of `window_s`. This is the
    /// number of records offered ÷ `load.rate`. It is negative before the window. Past the window's end, a ramp and
    /// stairs keep their last multiple.
    pub fn integral(self, t_s: f64, window_s: f64) -> f64 {
        if t_s < 0.0 {
            return t_s * self.first();
        }
        match self {
            Self::Constant => t_s,
            Self::Ramp(Ramp { from, to }) => {
                let inside = t_s.min(window_s);
                from * inside + (to - from) * inside * inside / (2.0 * window_s) + to * (t_s - inside)
            }
            Self::Step(step) => step.integral(t_s, window_s),
            Self::Sine(Sine { amplitude, period }) => {
                let turn = TAU / period.0.as_secs_f64();
                t_s + amplitude.0 / turn * (1.0 - (turn * t_s).cos())
            }
            Self::Burst(Burst { factor, every, length }) => {
                let (every, length) = (every.0.as_secs_f64(), length.0.as_secs_f64());
                let periods = (t_s / every).floor();
                let burst = (t_s - periods * every - (every - length)).max(0.0);
                t_s + (factor - 1.0) * (periods * length + burst)
            }
        }
    }

    /// Returns the mean multiple over a window.
    pub fn mean(self, window_s: f64) -> f64 {
        if window_s > 0.0 { self.integral(window_s, window_s) / window_s } else { self.first() }
    }

    /// Returns the largest multiple.
    pub fn peak(self) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Ramp(Ramp { from, to }) | Self::Step(Step { from, to, .. }) => from.max(to),
            Self::Sine(Sine { amplitude, .. }) => 1.0 + amplitude.0,
            Self::Burst(Burst { factor, .. }) => factor.max(1.0),
        }
    }

    /// Returns the multiple until the window opens.
    pub fn first(self) -> f64 {
        match self {
            Self::Constant | Self::Sine(_) | Self::Burst(_) => 1.0,
            Self::Ramp(Ramp { from, .. }) | Self::Step(Step { from, .. }) => from,
        }
    }

    /// Returns the profile's name in a workload file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Ramp(_) => "ramp",
            Self::Step(_) => "step",
            Self::Sine(_) => "sine",
            Self::Burst(_) => "burst",
        }
    }

    /// Returns the first fault of the parameters: the key below `load`, and the message.
    pub(in crate::workload) fn fault(self) -> Option<(&'static str, String)> {
        let multiple = |key: &'static str, value: f64| {
            let is_sound = value.is_finite() && (0.0..=1000.0).contains(&value);
            (!is_sound)
                .then(|| (key, format!("`load.{key}` must be from 0 to 1000 times the rate, not {value}")))
        };
        match self {
            Self::Constant => None,
            Self::Ramp(Ramp { from, to }) => {
                multiple("ramp.from", from).or_else(|| multiple("ramp.to", to)).or_else(|| {
                    (from + to <= 0.0).then(|| ("ramp.to", "a ramp from 0 to 0 offers nothing".into()))
                })
            }
            Self::Step(Step { from, to, stairs }) => multiple("step.from", from)
                .or_else(|| multiple("step.to", to))
                .or_else(|| {
                    (from + to <= 0.0).then(|| ("step.to", "stairs from 0 to 0 offer nothing".into()))
                })
                .or_else(|| {
                    let is_sound = (2..=1000).contains(&stairs);
                    (!is_sound).then(|| {
                        ("step.stairs", format!("`load.step.stairs` must be from 2 to 1000, not {stairs}"))
                    })
                }),
            Self::Sine(Sine { period, .. }) => (period.0 < PERIOD_MIN)
                .then(|| ("sine.period", format!("`load.sine.period` must be at least 10ms, not {period}"))),
            Self::Burst(Burst { factor, every, length }) => multiple("burst.factor", factor).or_else(|| {
                (length.0 < PERIOD_MIN || length >= every).then(|| {
                    let message = format!(
                        "`load.burst.length` must be at least 10ms and shorter than `every` ({every})"
                    );
                    ("burst.length", message)
                })
            }),
        }
    }
}

/// The shortest period or burst. The rate follows a profile to the millisecond, so a shorter one would be smeared.
const PERIOD_MIN: std::time::Duration = std::time::Duration::from_millis(10);

impl Step {
    fn integral(self, t_s: f64, window_s: f64) -> f64 {
        let stairs = f64::from(self.stairs);
        let length_s = window_s / stairs;
        let rise = (self.to - self.from) / (stairs - 1.0);
        let whole = (t_s / length_s).floor().clamp(0.0, stairs - 1.0);
        // The stairs that are over: 0 + 1 + … + (whole - 1) rises.
        let over = whole * self.from + rise * whole * (whole - 1.0) / 2.0;
        over * length_s + (self.from + rise * whole) * (t_s - whole * length_s)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    /// Any profile that a workload file may have.
    pub(crate) fn any_profile() -> impl Strategy<Value = Profile> {
        let span = |ms: u64| TimeSpan(Duration::from_millis(ms));
        prop_oneof![
            Just(Profile::Constant),
            (0.0f64..3.0, 0.1f64..3.0).prop_map(|(from, to)| Profile::Ramp(Ramp { from, to })),
            (0.0f64..3.0, 0.1f64..3.0, 2u32..9).prop_map(|(from, to, stairs)| Profile::Step(Step {
                from,
                to,
                stairs
            })),
            (0.0f64..=1.0, 50u64..5000).prop_map(move |(amplitude, period)| {
                Profile::Sine(Sine { amplitude: Fraction(amplitude), period: span(period) })
            }),
            (0.0f64..9.0, 50u64..2000, 10u64..50).prop_map(move |(factor, every, length)| {
                Profile::Burst(Burst { factor, every: span(every), length: span(length.min(every - 1)) })
            }),
        ]
    }

    proptest! {
        #[test]
        fn the_integral_rises_by_no_more_than_the_peak(profile in any_profile(), t in -3.0f64..12.0, step in 0.0f64..0.1) {
            let rise = profile.integral(t + step, 10.0) - profile.integral(t, 10.0);
            prop_assert!(rise >= -1e-9 && rise <= profile.peak() * step + 1e-9, "{rise} in {step} s");
        }
    }

    #[test]
    fn means_are_what_the_documentation_says() {
        let mean = |profile: Profile| profile.mean(10.0);
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(mean(Profile::Constant), 1.0);
        near(mean(Profile::Ramp(Ramp { from: 0.2, to: 1.0 })), 0.6);
        near(mean(Profile::Step(Step { from: 1.0, to: 3.0, stairs: 3 })), 2.0);
        near(mean(Profile::Sine(Sine::default())), 1.0);
        near(mean(Profile::Burst(Burst::default())), 1.1);
    }

    #[test]
    fn stairs_are_level_and_a_burst_ends_its_period() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        let step = Profile::Step(Step { from: 1.0, to: 2.0, stairs: 2 });
        near(step.integral(5.0, 10.0), 5.0);
        near(step.integral(6.0, 10.0), 7.0);
        let burst = Profile::Burst(Burst::default());
        near(burst.integral(4.5, 10.0), 4.5);
        near(burst.integral(5.0, 10.0), 5.5);
        near(burst.integral(5.1, 10.0), 5.6);
    }
}
