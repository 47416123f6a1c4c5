//! The same as a picture: for each metric a bar per balancer, as long as its ratio to the baseline.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::balancer::Contender;
use crate::failure::Failure;
use crate::measure::Measured;
use crate::report::{Line, lines};
use crate::rows::Better;

const BAR: u32 = 14;
const GAP: u32 = 12;
/// Where the bars begin.
const LEFT: u32 = 330;
/// The length of a bar of the ratio 1.
const ONE: f64 = 240.0;
/// Longer bars are cut off here, and say their ratio.
const LONGEST: f64 = 2.0;
const WIDTH: u32 = 900;
const TOP: u32 = 40;

const SHOWN: [(Contender, &str); 4] = [
    (Contender::Warren, "#c2410c"),
    (Contender::Haproxy, "#64748b"),
    (Contender::HaproxySplice, "#334155"),
    (Contender::Nginx, "#0f766e"),
];

/// Writes an SVG file.
pub(crate) fn write(path: &Path, results: &[Measured]) -> Result<(), Failure> {
    let picture = draw(results);
    fs::write(path, picture).map_err(Failure::io(path.display().to_string()))
}

fn draw(results: &[Measured]) -> String {
    let (mut body, mut y) = (legend(), TOP);
    for line in results.iter().flat_map(lines) {
        y = group(&line, y, &mut body);
    }
    let one = f64::from(LEFT) + ONE;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <line x1=\"{one}\" x2=\"{one}\" y1=\"{TOP}\" y2=\"{y}\" stroke=\"silver\" \
         stroke-dasharray=\"3 3\"/>\n{body}</svg>\n"
    )
}

fn legend() -> String {
    let mut text = String::new();
    let mut x = 10;
    for (contender, colour) in SHOWN {
        add(
            &mut text,
            format_args!(
                "<rect x=\"{x}\" y=\"10\" width=\"{BAR}\" height=\"{BAR}\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"21\">{}</text>",
                x + 20,
                contender.name()
            ),
        );
        x += 120;
    }
    add(
        &mut text,
        format_args!(
            "<text x=\"{x}\" y=\"21\">ratio to the HAProxy compared with; + more is better</text>"
        ),
    );
    text
}

/// Draws the bars of one metric below `y` and returns where they end.
fn group(line: &Line<'_>, top: u32, body: &mut String) -> u32 {
    let mut y = top + GAP;
    let more = match line.metric.better {
        Better::Less => "",
        Better::More => " +",
    };
    add(
        body,
        format_args!(
            "<text x=\"10\" y=\"{}\">{}: {}{more}</text>",
            y + 11,
            line.row.row.name,
            line.metric.label
        ),
    );
    for (contender, colour) in SHOWN {
        let Some(ratio) = line.ratio(contender, line.row.row.baseline()) else {
            continue;
        };
        // A metric that is zero for the baseline has no ratio.
        if !ratio.median.is_finite() {
            continue;
        }
        let length = ratio.median.clamp(0.0, LONGEST) * ONE;
        add(
            body,
            format_args!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{:.2}</text>",
                f64::from(LEFT) + length + 5.0,
                y + 11,
                ratio.median
            ),
        );
        y += BAR + 1;
    }
    y.max(top + GAP + BAR)
}

fn add(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}
