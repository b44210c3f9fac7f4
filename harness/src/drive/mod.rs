//! Phases (warm-up, measure, drain), pacing, producers and consumers: what drives a target.
