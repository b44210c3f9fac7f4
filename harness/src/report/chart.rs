//! Drawn charts, as the pages of a report include them.

use super::plot::{self, NotDrawn};
use super::svg;
use crate::result::Artifact;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The charts of a report.
#[derive(Default)]
pub(super) struct Charts {
    /// Charts in the order of the report.
    pub(super) drawn: Vec<Chart>,
    /// Charts that are not drawn, each with the reason.
    pub(super) not_drawn: Vec<NotDrawn>,
}

/// A drawn chart.
pub(super) struct Chart {
    /// The name of its file without the extension.
    pub(super) name: &'static str,
    /// A text for readers who do not see it.
    pub(super) alt: &'static str,
    /// The SVG document.
    pub(super) svg: String,
    png: Vec<u8>,
}

impl Charts {
    /// Draws charts. One that cannot be drawn is left out, with the reason.
    pub(super) fn draw(plots: Vec<plot::Chart>) -> Self {
        let mut charts = Self::default();
        for plot in plots {
            match plot {
                plot::Chart::NotDrawn(reason) => charts.not_drawn.push(reason),
                plot::Chart::Plot(plot) => match catch_unwind(AssertUnwindSafe(|| Chart::draw(&plot))) {
                    Ok(Ok(chart)) => charts.drawn.push(chart),
                    Ok(Err(error)) => {
                        charts.not_drawn.push(NotDrawn::fault(plot.alt, format_args!("{error:#}")));
                    }
                    Err(_) => charts.not_drawn.push(NotDrawn::fault(plot.alt, "drawing it panicked")),
                },
            }
        }
        charts
    }

    /// Returns the first drawn chart with one of these names, in the order of the names.
    pub(super) fn first_of(&self, names: &[&str]) -> Option<&Chart> {
        names.iter().find_map(|name| self.drawn.iter().find(|chart| chart.name == *name))
    }

    /// Returns the files of the charts.
    pub(super) fn files(&self) -> Vec<Artifact> {
        let mut files = Vec::new();
        for chart in &self.drawn {
            let file = |extension: &str, content: &[u8]| Artifact {
                path: format!("charts/{}.{extension}", chart.name),
                content: content.to_vec(),
            };
            files.push(file("png", &chart.png));
            files.push(file("svg", chart.svg.as_bytes()));
        }
        files
    }

    /// Returns a sentence for each chart that is not drawn: `Not drawn: latency by percentile, because …`.
    pub(super) fn remarks(&self) -> Vec<String> {
        let remark = |it: &NotDrawn| format!("Not drawn: {} ({}).", it.what, it.reason);
        self.not_drawn.iter().map(remark).collect()
    }

    /// Returns a message for each chart that could not be drawn.
    pub(super) fn faults(&self) -> Vec<String> {
        let faults = self.not_drawn.iter().filter(|it| it.is_fault);
        faults.map(|it| format!("the chart \"{}\" is missing: {}", it.what, it.reason)).collect()
    }
}

impl Chart {
    fn draw(plot: &plot::value::Plot) -> anyhow::Result<Self> {
        let svg = svg::picture(plot)?;
        let png = svg::png(&svg)?;
        Ok(Self { name: plot.name, alt: plot.alt, svg, png })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::value::Plot;

    fn plot(title: &str) -> Plot {
        Plot {
            name: "throughput",
            alt: "Throughput over time",
            title: title.into(),
            verdict: "valid".into(),
            settings: String::new(),
            keys: Vec::new(),
            notes: Vec::new(),
            panels: Vec::new(),
            footer: Vec::new(),
        }
    }

    #[test]
    fn a_chart_that_cannot_be_drawn_is_lost_alone() {
        let huge = Plot { footer: vec![String::from("x"); 2000], ..plot("huge") };
        let charts = Charts::draw(vec![
            plot::Chart::Plot(Box::new(huge)),
            plot::Chart::Plot(Box::new(plot("a\u{1b}b\0"))),
        ]);
        assert_eq!(charts.drawn.len(), 1, "a control character costs no chart");
        assert!(charts.drawn[0].svg.contains("a\\u{1b}b\\u{0}"));
        assert_eq!((charts.files().len(), charts.faults().len()), (2, 1));
        let remark = &charts.remarks()[0];
        assert!(
            remark.starts_with("Not drawn: Throughput over time (it cannot be drawn: it would be "),
            "{remark}"
        );
    }
}
