//! Events inside the target, on the charts over time. Each kind has a row below the chart, which names its colour. In
//! the chart, each event has a mark, and one that lasted has a band. Kinds with many events show their rate instead.

use super::value::{Band, BandKind, Colour, Mark, Part, Row, RowContent, Rows};
use crate::num;
use crate::quantity;
use crate::result::Event;

/// The most events of a kind that are drawn as marks. More marks would hide the chart, so the rate is drawn instead.
const MARKS_MAX: usize = 60;
/// Number of bars that show a rate.
const BARS: u32 = 100;
/// Least length of an event that has a band, as a share of the time axis: 2 pixels. A narrower band could not be seen.
const BAND_SHARE_MIN: f64 = 0.0025;
/// A rebalance of a consumer group, until every member has its partitions.
const REBALANCE: &str = "rebalance";
/// A time in which no member of a consumer group owned a partition.
const REVOCATION: &str = "revocation";
/// A commit of offsets, until its reply.
const COMMIT: &str = "commit";
/// Kinds of events in the order of their rows: name in `events.jsonl`, name for people, colour. The colours of the
/// chart's lines are not used again.
const KINDS: [(&str, &str, Colour); 10] = [
    ("stall", "stall", Colour::Ink),
    (REBALANCE, "rebalance", Colour::Gold),
    (REVOCATION, "revocation", Colour::Orange),
    (COMMIT, "commit", Colour::Slate),
    ("roll", "roll", Colour::Green),
    ("seal", "seal", Colour::Purple),
    ("retention", "retention", Colour::Sky),
    ("sync", "sync", Colour::Brown),
    ("no_spare", "no spare", Colour::Violet),
    ("recovery", "recovery", Colour::Pale),
];

/// Events of one kind, in the order of time.
pub(super) struct Kind<'a> {
    name: &'a str,
    colour: Colour,
    events: Vec<&'a Event>,
}

/// The events that a chart shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// Every kind.
    All,
    /// Rebalances, revocations and commits of consumer groups.
    OfGroups,
    /// Rebalances of consumer groups.
    Rebalances,
}

impl Shows {
    fn holds(self, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::OfGroups => [REBALANCE, REVOCATION, COMMIT].contains(&event.kind.as_str()),
            Self::Rebalances => event.kind == REBALANCE,
        }
    }
}

/// Returns the kinds of events within `span`, in seconds since the window opened. Kinds that this build does not know
/// come last.
pub(super) fn kinds<'a>(events: &'a [Event], shows: Shows, span: (f64, f64)) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind<'a>> =
        KINDS.iter().map(|(_, name, colour)| Kind { name, colour: *colour, events: Vec::new() }).collect();
    let inside = |event: &&Event| event.t_s < span.1 && event.end_s() >= span.0 && shows.holds(event);
    for event in events.iter().filter(inside) {
        let known = KINDS.iter().position(|(kind, ..)| *kind == event.kind);
        let at =
            known.or_else(|| kinds.iter().position(|kind| kind.name == event.kind)).unwrap_or_else(|| {
                kinds.push(Kind { name: &event.kind, colour: Colour::Pale, events: Vec::new() });
                kinds.len() - 1
            });
        kinds[at].events.push(event);
    }
    kinds.retain(|kind| !kind.events.is_empty());
    kinds
}

/// Returns the rows of events below a chart; `None` if nothing happened.
pub(super) fn rows(kinds: &[Kind<'_>], span: (f64, f64)) -> Option<Part> {
    let rows: Vec<Row> = kinds.iter().map(|kind| kind.row(span)).collect();
    (!rows.is_empty()).then_some(Part::Rows(Rows { x: span, rows }))
}

impl Kind<'_> {
    fn has_marks(&self) -> bool {
        self.events.len() <= MARKS_MAX
    }

    /// Returns the part of each event that lies within `span`; none if there are too many events.
    fn drawn(&self, span: (f64, f64)) -> impl Iterator<Item = (f64, f64)> {
        let within = move |t_s: f64| t_s.clamp(span.0, span.1);
        let events = self.events.iter().filter(|_| self.has_marks());
        events.map(move |event| (within(event.t_s), within(event.end_s())))
    }

    /// Returns a band for each event that lasted. Events that overlap share a band, because bands on top of each other would
    /// hide the chart.
    pub(super) fn bands(&self, span: (f64, f64)) -> Vec<Band> {
        let mut lasting: Vec<(f64, f64)> = self.drawn(span).filter(|it| is_wide(*it, span)).collect();
        lasting.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut joined: Vec<(f64, f64)> = Vec::new();
        for (from, to) in lasting {
            match joined.last_mut().filter(|last| from <= last.1) {
                Some(last) => last.1 = last.1.max(to),
                None => joined.push((from, to)),
            }
        }
        let band = |x| Band { x, y: None, colour: self.colour, kind: BandKind::Event };
        joined.into_iter().map(band).collect()
    }

    /// Returns a mark for each event that is a moment, or too short for a band. Commits are regular and many, so their marks are in
    /// their row alone.
    pub(super) fn marks(&self, span: (f64, f64)) -> Vec<Mark> {
        let moments = self.drawn(span).filter(|it| !is_wide(*it, span) && self.name != COMMIT);
        moments.map(|(x, _)| Mark { x, label: String::new(), colour: self.colour }).collect()
    }

    fn row(&self, span: (f64, f64)) -> Row {
        let content =
            if self.has_marks() { RowContent::Events(self.drawn(span).collect()) } else { self.rate(span) };
        Row { name: self.name.to_owned(), colour: self.colour, content }
    }

    /// Returns a bar for each hundredth of the time. The height is its share of the busiest bar.
    fn rate(&self, span: (f64, f64)) -> RowContent {
        let bar_s = (span.1 - span.0) / f64::from(BARS);
        let start = |bar: u32| span.0 + f64::from(bar) * bar_s;
        let count = |bar: u32| {
            let times = start(bar)..start(bar + 1);
            num::count(self.events.iter().filter(|event| times.contains(&event.t_s)).count())
        };
        let counts: Vec<u64> = (0..BARS).map(count).collect();
        let most = num::f64_of(counts.iter().copied().max().unwrap_or(1).max(1));
        let bars = (0..BARS).zip(&counts).filter(|(_, count)| **count > 0);
        let bars = bars.map(|(bar, count)| (start(bar), start(bar + 1), num::f64_of(*count) / most));
        RowContent::Rate { bars: bars.collect(), top: format!("up to {}", quantity::per_s(most / bar_s)) }
    }
}

/// Tells whether an event is long enough for a band.
fn is_wide((from, to): (f64, f64), span: (f64, f64)) -> bool {
    to - from >= (span.1 - span.0) * BAND_SHARE_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, t_s: f64, length_s: Option<f64>) -> Event {
        Event { t_s, length_s, kind: kind.into(), ..Event::default() }
    }

    #[test]
    fn kinds_keep_their_order_and_unknown_ones_come_last() {
        let events = [
            event("tea", 1.0, None),
            event("seal", 2.0, None),
            event("roll", 3.0, None),
            event("roll", 9.0, None),
        ];
        let named: Vec<_> = kinds(&events, Shows::All, (0.0, 5.0))
            .iter()
            .map(|kind| (kind.name, kind.events.len()))
            .collect();
        assert_eq!(named, [("roll", 1), ("seal", 1), ("tea", 1)]);
    }

    #[test]
    fn what_began_before_and_lasts_into_the_span_is_shown() {
        let events =
            [event("stall", -3.0, Some(4.0)), event("stall", -3.0, Some(1.0)), event("roll", -3.0, None)];
        let kinds = kinds(&events, Shows::All, (0.0, 5.0));
        assert_eq!(kinds.iter().map(|kind| kind.events.len()).sum::<usize>(), 1);
        assert_eq!(kinds[0].bands((0.0, 5.0))[0].x, (0.0, 1.0));
        assert!(kinds[0].marks((0.0, 5.0)).is_empty());
    }

    #[test]
    fn an_event_that_is_too_short_for_a_band_has_a_mark_and_keeps_its_length_in_the_row() {
        let kinds_of = ["commit", "roll"].map(|kind| event(kind, 1.0, Some(0.002)));
        let events = [&kinds_of[..], &[event("rebalance", 2.0, Some(0.5))]].concat();
        let span = (0.0, 5.0);
        let kinds = kinds(&events, Shows::All, span);
        let drawn: Vec<_> =
            kinds.iter().map(|kind| (kind.name, kind.bands(span).len(), kind.marks(span).len())).collect();
        assert_eq!(drawn, [("rebalance", 1, 0), ("commit", 0, 0), ("roll", 0, 1)]);
        let RowContent::Events(row) = kinds[1].row(span).content else { panic!("a rate of one event") };
        assert_eq!(row, [(1.0, 1.002)]);
    }

    #[test]
    fn events_that_overlap_share_a_band() {
        let events = [(3.0, 0.5), (1.0, 1.0), (1.5, 1.0), (1.2, 0.1), (4.0, 0.1)];
        let events = events.map(|(t_s, length_s)| event("rebalance", t_s, Some(length_s)));
        let bands = kinds(&events, Shows::All, (0.0, 5.0))[0].bands((0.0, 5.0));
        assert_eq!(bands.iter().map(|band| band.x).collect::<Vec<_>>(), [(1.0, 2.5), (3.0, 3.5), (4.0, 4.1)]);
    }

    #[test]
    fn a_chart_shows_only_the_kinds_that_belong_to_it() {
        let events = ["roll", "commit", "rebalance", "tea"].map(|kind| event(kind, 1.0, None));
        let names =
            |shows| -> Vec<&str> { kinds(&events, shows, (0.0, 5.0)).iter().map(|kind| kind.name).collect() };
        assert_eq!(names(Shows::All), ["rebalance", "commit", "roll", "tea"]);
        assert_eq!(names(Shows::OfGroups), ["rebalance", "commit"]);
        assert_eq!(names(Shows::Rebalances), ["rebalance"]);
    }

    #[test]
    fn many_events_are_a_rate_whose_busiest_bar_is_full() {
        let events: Vec<Event> = (0..200).map(|i| event("roll", f64::from(i * i) * 1e-4, None)).collect();
        let kinds = kinds(&events, Shows::All, (0.0, 5.0));
        assert!(kinds[0].marks((0.0, 5.0)).is_empty());
        let RowContent::Rate { bars, top } = kinds[0].row((0.0, 5.0)).content else {
            panic!("marks instead of a rate");
        };
        assert!(bars.iter().any(|(.., share)| *share == 1.0) && top.starts_with("up to "));
        assert!(bars.iter().all(|(from, to, share)| from < to && (0.0..=1.0).contains(share)));
    }
}
