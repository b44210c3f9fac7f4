//! The page and the summary of results that are not of one run: a comparison, and several runs on the same axes.

pub(super) mod comparison;
pub(super) mod overlay;
