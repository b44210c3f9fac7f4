//! What a command line of `vnotch compare` asks for. Options that do not go together are refused by name, with what to do.

use super::Args;
use super::length::{band, length};
use crate::campaign::compare::Length;
use crate::cli::FormatArg;
use crate::exit::UsageError;
use crate::workload::Override;
use std::path::PathBuf;

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Request {
    /// Compare two stored results.
    Stored(StoredRequest),
    /// Store a name for a result, and compare nothing.
    SaveBaseline {
        /// The name.
        name: String,
        /// The result, as it was named.
        result: String,
    },
    /// Measure two sides turn by turn.
    Series(SeriesRequest),
    /// Continue an unfinished series.
    Resume(PathBuf),
}

/// Two stored results.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StoredRequest {
    /// The first result, as it was named; `None` for the baseline.
    pub(super) a: Option<String>,
    /// The second result, as it was named.
    pub(super) b: String,
    /// The least difference that matters.
    pub(super) band: f64,
}

/// Two sides that are measured turn by turn.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeriesRequest {
    /// Workload of side A.
    pub(super) workload_a: String,
    /// Workload of side B.
    pub(super) workload_b: String,
    /// Settings of side A.
    pub(super) sets_a: Vec<String>,
    /// Settings of side B.
    pub(super) sets_b: Vec<String>,
    /// Binary of side A; `None` for this one.
    pub(super) binary_a: Option<PathBuf>,
    /// Binary of side B; `None` for this one.
    pub(super) binary_b: Option<PathBuf>,
    /// The least difference that matters.
    pub(super) band: f64,
    /// The number of pairs.
    pub(super) length: Length,
    /// Whether both sides are the same on purpose, to learn how noisy pairs are.
    pub(super) is_calibration: bool,
}

impl Request {
    /// Reads the command line. `format` is the format of standard output.
    ///
    /// # Errors
    /// A [`UsageError`] that names the options that do not go together.
    pub(super) fn of(args: &Args, format: FormatArg) -> anyhow::Result<Self> {
        let request = match &args.resume {
            Some(dir) => resume(args, dir.clone())?,
            None if args.interleave || args.calibrate => Self::Series(series(args)?),
            None => stored(args)?,
        };
        if format == FormatArg::Markdown
            && let Some(option) = request.option_without_answer(args)
        {
            return refuse(format!(
                "--format markdown prints the answer of a comparison, and {option} makes no comparison; leave out --format, or use \
                 --format json"
            ));
        }
        Ok(request)
    }

    /// Returns the option because of which nothing is compared; `None` if the request is a comparison.
    fn option_without_answer(&self, args: &Args) -> Option<&'static str> {
        match self {
            Self::SaveBaseline { .. } => Some("--save-baseline with one result"),
            Self::Series(_) if args.dry_run => Some("--dry-run"),
            Self::Series(_) | Self::Stored(_) | Self::Resume(_) => None,
        }
    }
}

fn refuse<T>(message: impl Into<String>) -> anyhow::Result<T> {
    Err(UsageError::error(message))
}

/// The options that were given, of those that only a series takes.
fn series_options(args: &Args) -> Vec<&'static str> {
    given([
        ("--set", !args.set.is_empty()),
        ("--set-a", !args.set_a.is_empty()),
        ("--set-b", !args.set_b.is_empty()),
        ("--binary-a", args.binary_a.is_some()),
        ("--binary-b", args.binary_b.is_some()),
        ("--pairs", args.pairs.is_some()),
        ("--precision", args.precision.is_some()),
        ("--pairs-max", args.pairs_max.is_some()),
        ("--seed", args.seed.is_some()),
        ("--dry-run", args.dry_run),
        ("--data-dir", args.data_dir.is_some()),
    ])
}

fn given<const N: usize>(options: [(&'static str, bool); N]) -> Vec<&'static str> {
    options.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect()
}

fn resume(args: &Args, dir: PathBuf) -> anyhow::Result<Request> {
    if args.output.is_some() {
        return refuse(format!(
            "--resume stores the comparison beside {}, so it takes no --output; leave that out",
            dir.display()
        ));
    }
    let mut others = series_options(args);
    others.retain(|option| *option != "--data-dir");
    others.extend(given([
        ("--interleave", args.interleave),
        ("--calibrate", args.calibrate),
        ("--metric", args.metric.is_some()),
        ("--band", args.band.is_some()),
        ("--baseline", args.baseline.is_some()),
        ("--save-baseline", args.save_baseline.is_some()),
        ("--save", args.save),
        ("a workload", !args.subjects.is_empty()),
    ]));
    if others.is_empty() {
        return Ok(Request::Resume(dir));
    }
    refuse(format!(
        "--resume continues the series as it was begun, so it takes no {}; leave that out, or begin a new series",
        others.join(", ")
    ))
}

fn stored(args: &Args) -> anyhow::Result<Request> {
    if let [option, ..] = series_options(args)[..] {
        return refuse(format!(
            "{option} is for sides that are measured turn by turn; add --interleave, and name a workload instead of results"
        ));
    }
    let band = band(args)?;
    let request = match (&args.subjects[..], &args.baseline, &args.save_baseline) {
        ([a, b], None, _) => StoredRequest { a: Some(a.clone()), b: b.clone(), band },
        ([b], Some(_), _) => StoredRequest { a: None, b: b.clone(), band },
        ([result], None, Some(name)) => return save_baseline(args, name, result),
        ([_, _], Some(name), _) => {
            return refuse(format!(
                "--baseline {name} is the first result already; name one result to compare with it"
            ));
        }
        ([one], None, None) => {
            return refuse(format!(
                "{one} is compared with nothing; name a second result, or --baseline NAME. To compare two settings or binaries, \
                 add --interleave"
            ));
        }
        _ => {
            return refuse(
                "name two results (`vnotch list` shows them), or use --interleave with a workload; `vnotch compare --help` has \
                 examples",
            );
        }
    };
    Ok(Request::Stored(request))
}

/// Refuses options of a comparison where a result only gets a name.
fn save_baseline(args: &Args, name: &str, result: &str) -> anyhow::Result<Request> {
    let others = given([
        ("--metric", args.metric.is_some()),
        ("--band", args.band.is_some()),
        ("--strict", args.strict),
        ("--save", args.save),
    ]);
    if others.is_empty() {
        return Ok(Request::SaveBaseline { name: name.to_owned(), result: result.to_owned() });
    }
    refuse(format!(
        "--save-baseline with one result compares nothing, so it takes no {}; leave that out, or name what {result} is compared with: \
         --baseline NAME, or a first result",
        others.join(", ")
    ))
}

fn series(args: &Args) -> anyhow::Result<SeriesRequest> {
    let name = if args.interleave { "--interleave" } else { "--calibrate" };
    if args.baseline.is_some() {
        return refuse(format!(
            "--baseline is a stored result, and {name} measures both sides now; compare a new result with the baseline, or give \
             the old binary as --binary-a"
        ));
    }
    if args.save_baseline.is_some() {
        return refuse(format!(
            "--save-baseline names the result of a run; {name} stores a comparison. Run the workload with `vnotch run`, then \
             `vnotch compare --save-baseline NAME RESULT`"
        ));
    }
    if args.save {
        return refuse(format!(
            "--save is for two stored results, and {name} stores the comparison always; leave out --save"
        ));
    }
    for set in args.set.iter().chain(&args.set_a).chain(&args.set_b) {
        let given = Override::set(set)?;
        for (key, why) in [
            ("trials", "each process makes one trial; --pairs is the number of pairs"),
            ("late_retries", "a late pair is measured again as a pair"),
        ] {
            if given.sets(key) {
                return refuse(format!("--set {set}: `{key}` cannot be set here: {why}"));
            }
        }
    }
    let (workload_a, workload_b) = match &args.subjects[..] {
        [one] => (one.clone(), one.clone()),
        [a, b] => (a.clone(), b.clone()),
        _ => {
            return refuse(format!(
                "{name} needs a workload: a file, or a built-in name such as `throughput`"
            ));
        }
    };
    let with_common = |own: &[String]| args.set.iter().chain(own).cloned().collect::<Vec<_>>();
    let mut request = SeriesRequest {
        workload_a,
        workload_b,
        sets_a: with_common(&args.set_a),
        sets_b: with_common(&args.set_b),
        binary_a: args.binary_a.clone(),
        binary_b: args.binary_b.clone(),
        band: band(args)?,
        length: length(args)?,
        is_calibration: args.calibrate,
    };
    if args.calibrate {
        calibration(args)?;
        request.sets_b.clone_from(&request.sets_a);
        request.binary_b.clone_from(&request.binary_a);
    } else if args.subjects.len() == 1
        && request.sets_a == request.sets_b
        && request.binary_a == request.binary_b
    {
        return refuse(format!(
            "both sides are {one}, with nothing that differs; give --set-b KEY=VALUE, --binary-b FILE or a second workload. To \
             learn how noisy pairs are, use --calibrate, or name the workload twice",
            one = request.workload_a
        ));
    }
    Ok(request)
}

/// Refuses options that make the sides of a calibration differ, or that it has no use for.
fn calibration(args: &Args) -> anyhow::Result<()> {
    let others = given([
        ("--set-b", !args.set_b.is_empty()),
        ("--binary-b", args.binary_b.is_some()),
        ("a second workload", args.subjects.len() > 1),
    ]);
    if let [other, ..] = others[..] {
        return refuse(format!(
            "--calibrate measures one side against itself, so it takes no {other}; leave out {other} or --calibrate"
        ));
    }
    if args.precision.is_some() {
        return refuse("--calibrate has a fixed number of pairs; use --pairs N instead of --precision");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::length::{BAND, CALIBRATION_PAIRS, PAIRS, PAIRS_MAX};
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn request_as(line: &str, format: FormatArg) -> anyhow::Result<Request> {
        let words = std::iter::once("compare").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| UsageError::error(error.to_string()))?;
        Request::of(&line.args, format)
    }

    fn request(line: &str) -> anyhow::Result<Request> {
        request_as(line, FormatArg::Text)
    }

    fn refusal(line: &str) -> String {
        let error = request(line).unwrap_err();
        assert!(error.is::<UsageError>(), "{error}");
        error.to_string()
    }

    fn series_of(line: &str) -> SeriesRequest {
        match request(line).unwrap() {
            Request::Series(series) => series,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_common_settings_come_before_those_of_a_side() {
        let series = series_of("--interleave w --set a.b=1 --set-a c=2 --set-b c=3 --set-b d=4");
        assert_eq!((series.workload_a.as_str(), series.workload_b.as_str()), ("w", "w"));
        assert_eq!(
            (series.sets_a, series.sets_b),
            (vec!["a.b=1".into(), "c=2".into()], vec!["a.b=1".into(), "c=3".into(), "d=4".into()])
        );
        assert_eq!((series.band.to_bits(), series.length), (BAND.to_bits(), Length::Pairs(PAIRS)));
    }

    #[test]
    fn a_workload_may_be_compared_with_itself_only_on_purpose() {
        assert!(refusal("--interleave w").contains("with nothing that differs; give --set-b"));
        assert!(refusal("--interleave w --set durability=synced").contains("nothing that differs"));
        assert!(!series_of("--interleave w w").is_calibration);
        let calibration = series_of("--calibrate w --set-a x=1 --binary-a old");
        assert!(calibration.is_calibration);
        assert_eq!(
            (&calibration.sets_a, &calibration.binary_a),
            (&calibration.sets_b, &calibration.binary_b)
        );
        assert_eq!(calibration.length, Length::Pairs(CALIBRATION_PAIRS));
    }

    #[test]
    fn the_length_is_a_number_of_pairs_or_a_precision() {
        let length = |rest: &str| series_of(&format!("--interleave w w {rest}")).length;
        assert_eq!(length("--pairs 1"), Length::Pairs(1));
        assert_eq!(length("--precision 1%"), Length::Precision { half_width: 0.01, pairs_max: PAIRS_MAX });
        assert_eq!(
            length("--precision 0.5% --pairs-max 10"),
            Length::Precision { half_width: 0.005, pairs_max: 10 }
        );
        let refusal = |rest: &str| refusal(&format!("--interleave w w {rest}"));
        assert!(refusal("--pairs 0").contains("from 1 to 1000"));
        assert!(refusal("--precision 1% --pairs 9").contains("use one of them"));
        assert!(refusal("--pairs-max 9").contains("give --precision too"));
        assert!(refusal("--precision 1% --pairs-max 9").contains("from 10 to 1000"));
        assert!(refusal("--precision 0%").contains("cannot be reached"));
        for band in ["2", "0.02", "60%", "-1%", "x%"] {
            assert!(refusal(&format!("--band {band}")).contains("such as `--band 2%`"), "{band}");
        }
        assert_eq!(series_of("--interleave w w --band 0%").band.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn stored_results_take_no_option_of_a_series() {
        for option in
            ["--set a=1", "--set-b a=1", "--binary-a x", "--pairs 3", "--seed 1", "--dry-run", "--data-dir x"]
        {
            let message = refusal(&format!("one two {option}"));
            assert!(
                message.starts_with(option.split(' ').next().unwrap())
                    && message.contains("add --interleave"),
                "{message}"
            );
        }
        let stored = |a: Option<&str>, b: &str, band| {
            Request::Stored(StoredRequest { a: a.map(str::to_owned), b: b.to_owned(), band })
        };
        assert_eq!(request("one two").unwrap(), stored(Some("one"), "two", BAND));
        let with_baseline = request("--baseline main two --metric x --band 1% --strict").unwrap();
        assert_eq!(with_baseline, stored(None, "two", 0.01));
        assert!(refusal("one two --baseline main").contains("name one result"));
        assert!(refusal("one").contains("is compared with nothing"));
        assert!(refusal("").contains("name two results"));
        let save = Request::SaveBaseline { name: "main".into(), result: "one".into() };
        assert_eq!(request("--save-baseline main one").unwrap(), save);
        assert!(refusal("--save-baseline main").contains("name two results"));
    }

    #[test]
    fn a_result_that_only_gets_a_name_takes_no_option_of_a_comparison() {
        for option in ["--metric bogus", "--band 1%", "--strict", "--save"] {
            let message = refusal(&format!("--save-baseline main one {option}"));
            let name = option.split(' ').next().unwrap();
            assert!(message.contains(&format!("compares nothing, so it takes no {name};")), "{message}");
            assert!(request(&format!("--save-baseline main --baseline old one {option}")).is_ok());
        }
        let several = refusal("--save-baseline main one --strict --metric bogus");
        assert!(several.contains("no --metric, --strict;"), "{several}");
    }

    #[test]
    fn markdown_is_for_requests_that_have_an_answer() {
        for (line, option) in [
            ("--save-baseline main one", "--save-baseline with one result"),
            ("--interleave w w --dry-run", "--dry-run"),
            ("--calibrate w --dry-run", "--dry-run"),
        ] {
            let error = request_as(line, FormatArg::Markdown).unwrap_err();
            assert!(error.is::<UsageError>() && error.to_string().contains(option), "{line}: {error}");
            assert!(request_as(line, FormatArg::Json).is_ok(), "{line}");
        }
        for line in
            ["one two", "--interleave w w", "--resume dir", "--baseline main one --save-baseline next"]
        {
            assert!(request_as(line, FormatArg::Markdown).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_does_not_go_with_a_series_is_refused_by_name() {
        assert!(refusal("--interleave").contains("needs a workload"));
        assert!(refusal("--interleave w w --baseline x").contains("--baseline is a stored result"));
        assert!(
            refusal("--interleave w w --save-baseline x")
                .contains("--save-baseline names the result of a run")
        );
        assert!(refusal("--interleave w w --save").contains("stores the comparison always"));
        assert!(refusal("--calibrate w w").contains("a second workload"));
        assert!(refusal("--calibrate w --set-b a=1").contains("no --set-b"));
        assert!(refusal("--calibrate w --precision 1%").contains("use --pairs N"));
        for option in ["--set trials=3", "--set-a late_retries=1", "--set-b trials=1"] {
            assert!(
                refusal(&format!("--interleave w w {option}")).contains("cannot be set here"),
                "{option}"
            );
        }
        assert!(refusal("--interleave w w --set nonsense").contains("write it as `dotted.key=value`"));
    }

    #[test]
    fn a_series_is_resumed_as_it_was_begun() {
        assert_eq!(request("--resume dir --data-dir x --strict").unwrap(), Request::Resume("dir".into()));
        for option in
            ["--interleave", "--pairs 3", "--band 1%", "--metric x", "--seed 4", "--set a=1", "--save"]
        {
            let message = refusal(&format!("--resume dir {option}"));
            assert!(message.contains(option.split(' ').next().unwrap()), "{message}");
        }
        assert!(refusal("--resume dir w").contains("a workload"));
        let output = refusal("--resume dir -o elsewhere");
        assert!(output.contains("beside dir") && output.contains("no --output"), "{output}");
    }
}
