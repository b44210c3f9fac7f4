//! What is recorded while a target is driven: histograms, series, events, host figures.

pub mod recorder;
