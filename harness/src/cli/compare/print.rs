//! A comparison on standard output: text, JSON or Markdown.

use super::Output;
use crate::cli::{self, FormatArg};
use crate::report::{comparison, comparison_markdown};
use crate::result::comparison::Comparison;
use std::path::Path;

/// Prints a comparison. `directory` is where it is stored, if it is.
///
/// # Errors
/// Standard output is closed or full.
pub(super) fn print(compared: &Comparison, directory: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let text = match output.format {
        FormatArg::Text => comparison::text(compared, directory),
        FormatArg::Json => comparison::json(compared, directory)?,
        FormatArg::Markdown => comparison_markdown(compared),
    };
    cli::print(&text)
}
