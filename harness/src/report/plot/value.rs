//! The parts of a chart as values: panels, axes, series, bands, marks and texts.
//!
//! A value says everything that the picture says, in the units of the data. Pixels and fonts belong to the renderer.

/// A chart: its texts and its panels, from top to bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// Name of its file without the extension.
    pub name: &'static str,
    /// Description for readers who do not see the picture.
    pub alt: &'static str,
    /// Name of the run, and what the chart shows.
    pub title: String,
    /// Durability and verdict.
    pub verdict: String,
    /// Settings of the run.
    pub settings: String,
    /// Legend for all panels; empty if each panel has its own, or if there is nothing to tell apart.
    pub keys: Vec<Key>,
    /// Remarks on how to read the chart.
    pub notes: Vec<String>,
    /// Panels from top to bottom; never empty.
    pub panels: Vec<Panel>,
    /// Lines below the panels: build, machine, date and the id of the result.
    pub footer: Vec<String>,
}

/// A part of a chart with its own title.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// Title above the panel.
    pub title: String,
    /// Legend of this panel.
    pub keys: Vec<Key>,
    /// Remarks below the title.
    pub notes: Vec<String>,
    /// Content from top to bottom.
    pub parts: Vec<Part>,
}

/// The content of a panel.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Series on a pair of axes.
    Axes(Axes),
    /// Rows of events below a time axis.
    Rows(Rows),
    /// A table of coloured cells.
    Map(Map),
}

/// A pair of axes with everything that is drawn on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Axes {
    /// Height class.
    pub size: Size,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Shaded areas behind the series.
    pub bands: Vec<Band>,
    /// Series, in the order in which they are drawn.
    pub series: Vec<Series>,
    /// Vertical lines.
    pub marks: Vec<Mark>,
    /// Texts at a place in the plot.
    pub labels: Vec<Label>,
}

/// The height class of a pair of axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The only axes of a chart.
    Tall,
    /// The axes of a panel.
    Full,
    /// A low strip below other axes.
    Strip,
}

/// An axis: its scale, its range and its ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Scale of the axis.
    pub scale: Scale,
    /// Lowest value.
    pub low: f64,
    /// Highest value; above `low`.
    pub high: f64,
    /// Ticks in ascending order.
    pub ticks: Vec<Tick>,
    /// Quantity and unit; empty if the panel's title says it.
    pub title: String,
    /// Whether each tick has a line across the plot.
    pub has_grid: bool,
}

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal distances are equal differences.
    Linear,
    /// Equal distances are equal ratios. Every value is above 0.
    Log,
}

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Value of the tick.
    pub at: f64,
    /// Label beside the tick.
    pub label: String,
}

/// A set of values with one colour and one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name of the series.
    pub name: String,
    /// Colour of the series.
    pub colour: Colour,
    /// Form in which it is drawn.
    pub look: Look,
    /// Pairs of x and y. A line or an area is one stretch for each part without a gap.
    pub stretches: Vec<Vec<(f64, f64)>>,
}

/// The form in which a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A line through the values.
    Line(Weight),
    /// An area between the values and the axis' lowest value.
    Area,
    /// A filled mark at each value.
    Dots(Shape),
    /// A hollow mark at each value.
    Rings(Shape),
    /// A short horizontal bar at each value.
    Bars(Weight),
}

/// The weight of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// A faint line that only joins values.
    Faint,
    /// A thin line.
    Thin,
    /// A normal line.
    Normal,
    /// A wide and pale line, over which another line may lie.
    Wide,
}

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A circle.
    Circle,
    /// A square.
    Square,
    /// A triangle.
    Triangle,
    /// A diamond.
    Diamond,
}

/// A shaded area behind the series.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// Range along the horizontal axis.
    pub x: (f64, f64),
    /// Range along the vertical axis; `None` for its whole height.
    pub y: Option<(f64, f64)>,
    /// Colour of the band.
    pub colour: Colour,
    /// Meaning of the band.
    pub kind: BandKind,
}

/// The meaning of a band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BandKind {
    /// Time outside the measured window.
    OutsideWindow,
    /// An event that lasted.
    Event,
    /// Rates of the bare disk.
    Ceiling,
    /// Differences that do not matter.
    NoDifference,
}

/// A vertical line.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Text at its upper end; empty for none.
    pub label: String,
    /// Colour of the line.
    pub colour: Colour,
}

/// A text at a place in the plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// Place on both axes.
    pub at: (f64, f64),
    /// The text.
    pub text: String,
    /// Colour of the text.
    pub colour: Colour,
    /// Side of the place at which the text stands.
    pub side: Side,
}

/// The side of a place at which a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above the place, centred.
    Above,
    /// To the right of the place.
    Right,
}

/// Rows of events below a time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Range of the time axis.
    pub x: (f64, f64),
    /// The rows from top to bottom.
    pub rows: Vec<Row>,
}

/// A row of events of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the kind.
    pub name: String,
    /// Colour of the kind.
    pub colour: Colour,
    /// Events of the row.
    pub content: RowContent,
}

/// The content of a row of events.
#[derive(Debug, Clone, PartialEq)]
pub enum RowContent {
    /// Start and end of each event.
    Events(Vec<(f64, f64)>),
    /// Rates over time, because there are too many events.
    Rate {
        /// Start and end of each bar, and its share of the busiest bar.
        bars: Vec<(f64, f64, f64)>,
        /// Rate of the busiest bar, in words.
        top: String,
    },
}

/// A table of coloured cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Name of the setting across, and its values.
    pub across: (String, Vec<String>),
    /// Name of the setting down, and its values.
    pub down: (String, Vec<String>),
    /// Hue of the cells.
    pub hue: Hue,
    /// The cells.
    pub cells: Vec<Cell>,
}

/// The hue of a map, from light to dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hue {
    /// Darker is more.
    Blue,
    /// Darker is slower.
    Orange,
}

/// A cell of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Column, from 0.
    pub column: usize,
    /// Row, from 0.
    pub row: usize,
    /// Content of the cell.
    pub content: CellContent,
}

/// The content of a cell.
#[derive(Debug, Clone, PartialEq)]
pub enum CellContent {
    /// A value with its text.
    Value {
        /// Text of the value.
        text: String,
        /// Range of the trials; empty for one trial.
        range: String,
        /// Darkness, 0 to 1.
        shade: f64,
    },
    /// Words on why there is no value.
    Missing(String),
}

/// An entry of a legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Name of the series.
    pub name: String,
    /// Colour of its symbol.
    pub colour: Colour,
    /// Symbol before the name.
    pub symbol: Symbol,
}

/// The symbol of an entry of a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbol {
    /// A line.
    Line,
    /// A wide and pale line.
    WideLine,
    /// A filled rectangle.
    Fill,
    /// A filled mark.
    Dot(Shape),
    /// A hollow mark.
    Ring(Shape),
    /// No symbol, for names of panels.
    None,
}

/// A colour of the charts. The colours of series are Okabe and Ito's, which colour-blind readers can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Dark grey, the colour of text.
    Ink,
    /// Grey, for what matters less.
    Pale,
    /// Blue.
    Blue,
    /// Vermilion.
    Vermilion,
    /// Bluish green.
    Green,
    /// Reddish purple.
    Purple,
    /// Orange.
    Orange,
    /// Sky blue.
    Sky,
    /// Brown.
    Brown,
    /// Dark violet.
    Violet,
    /// Dark yellow.
    Gold,
    /// Greyish blue.
    Slate,
}

impl Colour {
    /// Colours of series. They are used in turn.
    pub const SERIES: [Self; 8] = [
        Self::Blue,
        Self::Vermilion,
        Self::Green,
        Self::Purple,
        Self::Orange,
        Self::Sky,
        Self::Brown,
        Self::Ink,
    ];

    /// Returns the colour of a series.
    pub const fn of_series(series: usize) -> Self {
        Self::SERIES[series % Self::SERIES.len()]
    }
}

impl Shape {
    /// Returns the shape of a series. If a colour is used again, it has another shape.
    pub const fn of_series(series: usize) -> Self {
        match (series + series / Colour::SERIES.len()) % 4 {
            0 => Self::Circle,
            1 => Self::Square,
            2 => Self::Triangle,
            _ => Self::Diamond,
        }
    }
}

impl Axis {
    /// Returns the place of a value along the axis, 0 at `low` to 1 at `high`. Values outside are moved to the end.
    pub fn share(&self, value: f64) -> f64 {
        let scaled = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).ln(),
        };
        let (low, high) = (scaled(self.low), scaled(self.high));
        let share = (scaled(value) - low) / (high - low);
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Tells whether a value lies on the axis.
    pub fn holds(&self, value: f64) -> bool {
        // A millionth of the range is allowed for rounding.
        let slack = (self.high - self.low).abs() * 1e-6;
        value >= self.low - slack && value <= self.high + slack
    }
}

impl Series {
    /// Returns a series without values.
    pub fn new(name: impl Into<String>, colour: Colour, look: Look) -> Self {
        Self { name: name.into(), colour, look, stretches: Vec::new() }
    }

    /// Returns the series with values.
    #[must_use]
    pub fn with(mut self, stretches: Vec<Vec<(f64, f64)>>) -> Self {
        self.stretches = stretches;
        self
    }

    /// Returns every value.
    pub fn values(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.stretches.iter().flatten().copied()
    }
}

impl Panel {
    /// Returns every pair of axes of the panel.
    pub fn axes(&self) -> impl Iterator<Item = &Axes> {
        self.parts.iter().filter_map(|part| match part {
            Part::Axes(axes) => Some(axes),
            Part::Rows(_) | Part::Map(_) => None,
        })
    }
}

impl Plot {
    /// Returns every pair of axes of the chart.
    pub fn axes(&self) -> impl Iterator<Item = &Axes> {
        self.panels.iter().flat_map(Panel::axes)
    }
}
