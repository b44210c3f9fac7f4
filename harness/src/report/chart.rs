//! A drawn chart, as the pages of a report include it.

/// A drawn chart.
pub(super) struct Chart {
    /// The name of its file without the extension.
    pub(super) name: &'static str,
    /// A text for readers who do not see it.
    pub(super) alt: &'static str,
    /// The SVG document.
    pub(super) svg: String,
}
