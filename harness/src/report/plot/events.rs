//! Events inside the target, on chart 3. Each kind has a row below the chart, which names its colour. In the chart,
//! each event has a mark, and one that lasted has a band. Kinds with many events show their rate instead.

use super::value::{Band, BandKind, Colour, Mark, Row, RowContent};
use crate::num;
use crate::quantity;
use crate::result::Event;

/// The most events of a kind that are drawn as marks. More marks would hide the chart, so the rate is drawn instead.
const MARKS_MAX: usize = 60;
/// Number of bars that show a rate.
const BARS: u32 = 100;
/// Kinds of events in the order of their rows: name in `events.jsonl`, name for people, colour. The colours of the
/// chart's lines are not used again.
const KINDS: [(&str, &str, Colour); 7] = [
    ("stall", "stall", Colour::Ink),
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

/// Returns the kinds of events within `span`, in seconds since the window opened. Kinds that this build does not know
/// come last.
pub(super) fn kinds<'a>(events: &'a [Event], span: (f64, f64)) -> Vec<Kind<'a>> {
    let mut kinds: Vec<Kind<'a>> =
        KINDS.iter().map(|(_, name, colour)| Kind { name, colour: *colour, events: Vec::new() }).collect();
    for event in events.iter().filter(|event| event.t_s < span.1 && event.end_s() >= span.0) {
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

impl Kind<'_> {
    fn has_marks(&self) -> bool {
        self.events.len() <= MARKS_MAX
    }

    /// Returns a band for each event that lasted.
    pub(super) fn bands(&self, span: (f64, f64)) -> Vec<Band> {
        let lasting = self.events.iter().filter(|event| self.has_marks() && event.length_s.is_some());
        let bands = lasting.map(|event| Band {
            x: (event.t_s.max(span.0), event.end_s().min(span.1)),
            y: None,
            colour: self.colour,
            kind: BandKind::Event,
        });
        bands.collect()
    }

    /// Returns a mark for each event that is a moment.
    pub(super) fn marks(&self) -> Vec<Mark> {
        let moments = self.events.iter().filter(|event| self.has_marks() && event.length_s.is_none());
        moments.map(|event| Mark { x: event.t_s, label: String::new(), colour: self.colour }).collect()
    }

    /// Returns the row below the chart.
    pub(super) fn row(&self, span: (f64, f64)) -> Row {
        let content = if self.has_marks() {
            let within = |t_s: f64| t_s.clamp(span.0, span.1);
            RowContent::Events(
                self.events.iter().map(|event| (within(event.t_s), within(event.end_s()))).collect(),
            )
        } else {
            self.rate(span)
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, t_s: f64, length_s: Option<f64>) -> Event {
        Event { t_s, length_s, kind: kind.into(), shard: None, topic: None, partition: None, detail: None }
    }

    #[test]
    fn kinds_keep_their_order_and_unknown_ones_come_last() {
        let events = [
            event("tea", 1.0, None),
            event("seal", 2.0, None),
            event("roll", 3.0, None),
            event("roll", 9.0, None),
        ];
        let named: Vec<_> =
            kinds(&events, (0.0, 5.0)).iter().map(|kind| (kind.name, kind.events.len())).collect();
        assert_eq!(named, [("roll", 1), ("seal", 1), ("tea", 1)]);
    }

    #[test]
    fn what_began_before_and_lasts_into_the_span_is_shown() {
        let events =
            [event("stall", -3.0, Some(4.0)), event("stall", -3.0, Some(1.0)), event("roll", -3.0, None)];
        let kinds = kinds(&events, (0.0, 5.0));
        assert_eq!(kinds.iter().map(|kind| kind.events.len()).sum::<usize>(), 1);
        assert_eq!(kinds[0].bands((0.0, 5.0))[0].x, (0.0, 1.0));
        assert!(kinds[0].marks().is_empty());
    }

    #[test]
    fn many_events_are_a_rate_whose_busiest_bar_is_full() {
        let events: Vec<Event> = (0..200).map(|i| event("roll", f64::from(i * i) * 1e-4, None)).collect();
        let kinds = kinds(&events, (0.0, 5.0));
        assert!(kinds[0].marks().is_empty());
        let RowContent::Rate { bars, top } = kinds[0].row((0.0, 5.0)).content else {
            panic!("marks instead of a rate");
        };
        assert!(bars.iter().any(|(.., share)| *share == 1.0) && top.starts_with("up to "));
        assert!(bars.iter().all(|(from, to, share)| from < to && (0.0..=1.0).contains(share)));
    }
}
