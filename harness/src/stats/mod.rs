//! Statistics over trials: medians, ranges, intervals.
