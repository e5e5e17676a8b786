//! Pictures of the figures, readable on light and dark backgrounds.

use std::fmt::Write;

use crate::peers::targets::Verdict;
use crate::report::number;
use crate::samples::Samples;

const WIDTH: f64 = 780.0;
/// Where bars begin and how long the longest is.
const LEFT: f64 = 150.0;
const LENGTH: f64 = 400.0;
const LINE: f64 = 26.0;
const BAR: f64 = 14.0;

const STYLE: &str = "<style>\
    text{font:13px system-ui,sans-serif;fill:#1f2328}\
    .title{font-size:16px;font-weight:600}.panel{font-weight:600}.small{font-size:12px;fill:#59636e}\
    .paper{fill:#fff}.other{fill:#9aa4ae}.ours{fill:#2f6fdb}.raw{fill:#c9cfd6}.hit{fill:#2a8f4a}.miss{fill:#d1442f}\
    .range{stroke:#1f2328;stroke-width:1.5}.bound{stroke:#1f2328;stroke-dasharray:4 3}\
    @media (prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9aa4ae}.paper{fill:#0d1117}.other{fill:#6b7681}\
    .ours{fill:#5b93f0}.raw{fill:#3d444d}.hit{fill:#3fb95f}.miss{fill:#f0664f}.range,.bound{stroke:#e6edf3}}\
    </style>";

/// One bar: its name, its figures and its class (`ours`, `other`, `raw`).
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    pub(crate) class: &'static str,
    pub(crate) samples: Samples,
}

/// Bars that share a scale.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn page(title: &str, height: f64, body: &str) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>{title}</title>\n{STYLE}\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height:.0}\"/>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{title}</text>\n{body}</svg>\n"
    )
}

/// The figures of one work: medians as bars, ranges as lines over them.
pub(crate) fn bars(title: &str, panels: &[Panel]) -> String {
    let (mut body, mut y) = (String::new(), 56.0);
    for panel in panels {
        let most = panel.bars.iter().map(|bar| bar.samples.spread().2).fold(f64::MIN_POSITIVE, f64::max);
        let _ = writeln!(body, "<text class=\"panel\" x=\"16\" y=\"{y:.0}\">{}</text>", escape(&panel.title));
        y += 10.0;
        for bar in &panel.bars {
            let (least, median, largest) = bar.samples.spread();
            let (middle, at) = (y + LINE / 2.0, |value: f64| LEFT + value / most * LENGTH);
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
                 <rect class=\"{}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
                LEFT - 10.0,
                middle + 4.5,
                escape(bar.name),
                bar.class,
                middle - BAR / 2.0,
                (at(median) - LEFT).max(1.0),
            );
            write_range(&mut body, at(least), at(largest), middle);
            let _ = writeln!(body, "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>", at(largest) + 10.0, middle + 4.5, number(median));
            y += LINE;
        }
        y += 28.0;
    }
    let _ = writeln!(
        body,
        "<text class=\"small\" x=\"16\" y=\"{:.0}\">bar: median of the rounds · line: smallest to largest</text>",
        y - 6.0
    );
    page(title, y + 8.0, &body)
}

fn write_range(body: &mut String, from: f64, to: f64, middle: f64) {
    if to - from < 1.0 {
        return;
    }
    let _ = writeln!(body, "<line class=\"range\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>");
    for end in [from, to] {
        let (above, below) = (middle - 4.0, middle + 4.0);
        let _ = writeln!(body, "<line class=\"range\" x1=\"{end:.1}\" x2=\"{end:.1}\" y1=\"{above:.1}\" y2=\"{below:.1}\"/>");
    }
}

/// All targets on one logarithmic scale: how many times better than wanted (right of the line) or worse (left of it).
pub(crate) fn targets(verdicts: &[(String, &Verdict)]) -> String {
    /// The middle, and pixels of a factor of ten; the scale ends at a factor of thirty.
    const MIDDLE: f64 = 520.0;
    const TENFOLD: f64 = 130.0;
    let bounded = |factor: f64| MIDDLE + factor.log10().clamp(-1.5, 1.5) * TENFOLD;
    let (mut body, mut y) = (String::new(), 60.0);
    let bottom = y + LINE * f64::from(u32::try_from(verdicts.len()).unwrap_or(u32::MAX));
    for (factor, name) in [(0.1, "10 × worse"), (1.0, "as wanted"), (10.0, "10 × better")] {
        let x = bounded(factor);
        let _ = writeln!(body, "<text class=\"small\" x=\"{x:.0}\" y=\"52\" text-anchor=\"middle\">{name}</text>");
        let _ = writeln!(
            body,
            "<line class=\"bound\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"58\" y2=\"{bottom:.0}\" opacity=\"{}\"/>",
            if name == "as wanted" { 1 } else { 0 }
        );
    }
    for (name, verdict) in verdicts {
        let (least, median, most) = verdict.samples.spread();
        let factor = |value: f64| verdict.target.factor(value);
        let (x, middle) = (bounded(factor(median)), y + LINE / 2.0);
        let class = if verdict.reached { "hit" } else { "miss" };
        let _ = writeln!(
            body,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text><rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>",
            MIDDLE - 1.5 * TENFOLD - 10.0,
            middle + 4.5,
            escape(name),
            x.min(MIDDLE),
            middle - BAR / 2.0,
            (x - MIDDLE).abs().max(1.0),
        );
        let (a, b) = (bounded(factor(least)), bounded(factor(most)));
        write_range(&mut body, a.min(b), a.max(b), middle);
        let _ = writeln!(
            body,
            "<text x=\"{:.0}\" y=\"{:.0}\">{} ×</text>",
            MIDDLE + 1.5 * TENFOLD + 4.0,
            middle + 4.5,
            number(factor(median))
        );
        y += LINE;
    }
    page("Folio's targets: how far beyond or short of them", bottom + 20.0, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_is_the_largest_figure() {
        let bar = |name, values: &[f64]| {
            let mut samples = Samples::default();
            values.iter().for_each(|&value| samples.add(value));
            Bar { name, class: "other", samples }
        };
        let text = bars("a < b", &[Panel { title: "a second".into(), bars: vec![bar("one", &[50.0]), bar("two", &[100.0])] }]);
        assert!(text.contains("a &lt; b") && !text.contains("a < b"));
        assert!(text.contains("width=\"200.0\"") && text.contains("width=\"400.0\""));
    }
}
