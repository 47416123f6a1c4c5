//! What people and programs get to read in the end.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::balancer::Contender;
use crate::failure::Failure;
use crate::machine::Machine;
use crate::measure::{Measured, Sample};
use crate::rows::{Better, Metric, Settings};
use crate::statistics::Spread;

const COLUMNS: [Contender; 5] = [
    Contender::Warren,
    Contender::Haproxy,
    Contender::HaproxySplice,
    Contender::Nginx,
    Contender::Direct,
];

/// One metric of one row, over all contenders.
pub(crate) struct Line<'a> {
    pub(crate) row: &'a Measured,
    pub(crate) metric: Metric,
    values: Vec<Vec<f64>>,
}

impl Line<'_> {
    /// The values of a contender, one per round; none if it was not measured.
    fn of(&self, contender: Contender) -> &[f64] {
        let mut contenders = self.row.contenders.iter();
        let index = contenders.position(|one| *one == contender);
        index.map_or(&[], |index| &self.values[index])
    }

    fn spread(&self, contender: Contender) -> Option<Spread> {
        let values = self.of(contender);
        (!values.is_empty()).then(|| Spread::of(values))
    }

    /// One contender to another, if both were measured.
    pub(crate) fn ratio(&self, of: Contender, to: Contender) -> Option<Spread> {
        let direct: &[f64] = match self.metric.added {
            true => self.of(Contender::Direct),
            false => &[],
        };
        let (ours, theirs) = (self.of(of), self.of(to));
        let both = !ours.is_empty() && !theirs.is_empty();
        both.then(|| Spread::of_ratios(ours, theirs, direct))
    }
}

pub(crate) fn lines(measured: &Measured) -> Vec<Line<'_>> {
    measured
        .row
        .metrics()
        .iter()
        .enumerate()
        .map(|(index, metric)| Line {
            row: measured,
            metric: *metric,
            values: measured
                .samples
                .iter()
                .map(|rounds| rounds.iter().map(|sample| sample.values[index]).collect())
                .collect(),
        })
        .collect()
}

/// Prints the table on stdout.
pub(crate) fn print(machine: &Machine, settings: &Settings, results: &[Measured]) {
    let mut table = vec![heading()];
    for line in results.iter().flat_map(lines) {
        table.push(cells(&line));
    }
    println!("{}", summary(machine, settings));
    println!();
    print_aligned(&table);
    println!();
    println!(
        "Median of {} rounds (least..most). Ratios: warren to the column marked *, and to nginx,\n\
         divided round by round; + marks metrics of which more is better. Of latencies the ratio\n\
         is of what is added to the same without a balancer.",
        settings.rounds
    );
    for measured in results {
        println!("{}: {}", measured.row.name, measured.row.what);
        print_calls(measured);
    }
}

fn summary(machine: &Machine, settings: &Settings) -> String {
    format!(
        "Linux {}, {} x {}, {}\n{}\nthreads of each balancer: {}; echo rows {} s, bulk \
         rows {} GB, short rows {} connections",
        machine.kernel,
        machine.cpus,
        machine.cpu_model,
        machine.network,
        machine.versions.join("\n"),
        settings.threads,
        settings.echo.as_secs_f64(),
        settings.bulk_bytes as f64 / 1e9,
        settings.short_connections,
    )
}

fn heading() -> Vec<String> {
    let mut cells = vec!["row".to_owned(), "metric".to_owned()];
    cells.extend(COLUMNS.map(|contender| contender.name().to_owned()));
    cells.extend(["ratio", "to nginx"].map(str::to_owned));
    cells
}

fn cells(line: &Line<'_>) -> Vec<String> {
    let mark = match line.metric.better {
        Better::Less => "",
        Better::More => " +",
    };
    let mut cells = vec![
        line.row.row.name.to_owned(),
        format!("{}{mark}", line.metric.label),
    ];
    cells.extend(COLUMNS.map(|contender| {
        let star = if contender == line.row.row.baseline() {
            " *"
        } else {
            ""
        };
        line.spread(contender).map_or_else(
            || "-".to_owned(),
            |spread| format!("{}{star}", text(spread, line.metric.decimals)),
        )
    }));
    cells.extend([line.row.row.baseline(), Contender::Nginx].map(|to| {
        let ratio = line.ratio(Contender::Warren, to);
        ratio.map_or_else(|| "-".to_owned(), |ratio| text(ratio, 2))
    }));
    cells
}

fn text(spread: Spread, decimals: usize) -> String {
    format!(
        "{:.*} ({:.*}..{:.*})",
        decimals, spread.median, decimals, spread.least, decimals, spread.most
    )
}

fn print_aligned(table: &[Vec<String>]) {
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            table
                .iter()
                .map(|cells| cells[column].len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for cells in table {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", padded.join("  ").trim_end());
    }
}

/// The system calls of the last round, down to one in a hundred units of work.
fn print_calls(measured: &Measured) {
    for (contender, rounds) in measured.contenders.iter().zip(&measured.samples) {
        let Some(Sample { calls, .. }) = rounds.last() else {
            continue;
        };
        if calls.is_empty() {
            continue;
        }
        let words: Vec<String> = calls
            .iter()
            .filter(|(_, each)| *each >= 0.01)
            .map(|(name, each)| format!("{name} {each:.2}"))
            .collect();
        println!("    {}: {}", contender.name(), words.join(", "));
    }
}

/// Writes the same, with every single value, for programs.
pub(crate) fn write_json(
    path: &Path,
    machine: &Machine,
    settings: &Settings,
    results: &[Measured],
) -> Result<(), Failure> {
    let document = json!({
        "machine": machine,
        "settings": settings,
        "rows": results.iter().map(row_json).collect::<Vec<_>>(),
    });
    fs::write(path, format!("{document:#}\n")).map_err(Failure::io(path.display().to_string()))
}

fn row_json(measured: &Measured) -> Value {
    let metrics: Vec<Value> = lines(measured)
        .iter()
        .map(|line| {
            let contenders: Map<String, Value> = measured
                .contenders
                .iter()
                .zip(&line.values)
                .map(|(contender, values)| {
                    let entry = json!({ "spread": Spread::of(values), "values": values });
                    (contender.name().to_owned(), entry)
                })
                .collect();
            json!({
                "metric": line.metric.label,
                "better": line.metric.better,
                "contenders": contenders,
                "baseline": measured.row.baseline().name(),
                "ratio": line.ratio(Contender::Warren, measured.row.baseline()),
                "ratio_to_nginx": line.ratio(Contender::Warren, Contender::Nginx),
            })
        })
        .collect();
    json!({ "name": measured.row.name, "what": measured.row.what, "metrics": metrics })
}
