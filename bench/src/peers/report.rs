//! The report: Markdown for people, JSON for programs, pictures.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::peers::results::{Metric, Results};
use crate::peers::servers::Kind;
use crate::peers::svg;
use crate::peers::targets::{self, Verdict};
use crate::peers::works::{Subject, Work};
use crate::report::number;
use crate::samples::Samples;

/// A run, finished.
pub(crate) struct Report<'a> {
    pub(crate) machine: String,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    pub(crate) works: &'a [Work],
    pub(crate) results: &'a Results,
    /// Servers that could not be measured, and why.
    pub(crate) missing: &'a [(Kind, String)],
}

fn spread(samples: &Samples) -> String {
    let (least, median, most) = samples.spread();
    if least.to_bits() == most.to_bits() {
        number(median)
    } else {
        format!("{} ({} – {})", number(median), number(least), number(most))
    }
}

impl Report<'_> {
    /// How the targets stand, of those that could be judged.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        targets::ALL.iter().filter_map(|target| target.judge(self.results)).collect()
    }

    fn title(&self, work: &str) -> &'static str {
        self.works.iter().find(|known| known.id == work).map_or("", |work| work.title)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("# Folio and its peers\n\n{}; {} rounds", self.machine, self.rounds);
        text.push_str(if self.quick { ", short ones on smaller data: a first look, not a measurement" } else { "" });
        text.push_str(", median (smallest – largest). Ratios are taken in each round.\n\n");
        for failure in self.results.failures() {
            let _ = writeln!(text, "**Failed:** {failure}\n");
        }
        self.write_targets(&mut text);
        text.push_str("\n![How far beyond or short of its targets Folio is](targets.svg)\n");
        for work in self.works {
            self.write_work(&mut text, work);
        }
        text.push_str("\n## Servers\n\n");
        for kind in [Kind::Folio, Kind::DurableStreams, Kind::Redis, Kind::Nats, Kind::Nginx] {
            let _ = match self.missing.iter().find(|(missing, _)| *missing == kind) {
                Some((_, why)) => writeln!(text, "- {}: **missing**: {why}", kind.name()),
                None => writeln!(text, "- {}: {}", kind.name(), kind.setting()),
            };
        }
        text
    }

    /// Pictures, by the names of their files.
    pub(crate) fn pictures(&self) -> Vec<(String, String)> {
        let verdicts = self.verdicts();
        let named = |verdict: &Verdict| format!("{}, {}", verdict.target.work, verdict.target.metric.title());
        let named: Vec<(String, &Verdict)> = verdicts.iter().map(|verdict| (named(verdict), verdict)).collect();
        let mut pictures = vec![("targets.svg".to_owned(), svg::targets(&named))];
        for work in self.works {
            // the largest time of all is an accident, and the median seldom the question
            let shown = Metric::ALL.into_iter().filter(|metric| !matches!(metric, Metric::Median | Metric::Max));
            let panels: Vec<svg::Panel> = shown.filter_map(|metric| self.panel(work, metric)).collect();
            if !panels.is_empty() {
                pictures.push((format!("{}.svg", work.id), svg::bars(work.title, &panels)));
            }
        }
        pictures
    }

    fn panel(&self, work: &Work, metric: Metric) -> Option<svg::Panel> {
        let bar = |&subject: &Subject| {
            let class = match subject {
                Subject::Server(Kind::Folio) => "ours",
                Subject::Server(_) => "other",
                Subject::Raw => "raw",
            };
            Some(svg::Bar { name: subject.name(), class, samples: self.results.samples(work.id, subject, metric)? })
        };
        let bars: Vec<svg::Bar> = work.subjects.iter().filter_map(bar).collect();
        let title =
            if metric == Metric::Rate { format!("{}: {}", metric.title(), work.operation) } else { metric.title().into() };
        (!bars.is_empty()).then_some(svg::Panel { title, bars })
    }

    fn write_targets(&self, text: &mut String) {
        text.push_str("| work | figure | wanted | measured | against | |\n| --- | --- | --- | --- | --- | --- |\n");
        for &target in targets::ALL.iter().filter(|target| self.works.iter().any(|work| work.id == target.work)) {
            let (title, figure, wanted) = (self.title(target.work), target.metric.title(), target.wanted());
            let Some(verdict) = target.judge(self.results) else {
                let _ = writeln!(text, "| {title} | {figure} | {wanted} | – | | not measured |");
                continue;
            };
            let percent = verdict.margin.abs() * 100.0;
            let stands = if verdict.reached { "reached".to_owned() } else { format!("**missed** by {percent:.0} %") };
            let (measured, against) = (spread(&verdict.samples), verdict.against.map_or("", Subject::name));
            let _ = writeln!(text, "| {title} | {figure} | {wanted} | {measured} | {against} | {stands} |");
        }
    }

    fn write_work(&self, text: &mut String, work: &Work) {
        let measured = |metric: Metric| work.subjects.iter().any(|&who| self.results.samples(work.id, who, metric).is_some());
        let columns: Vec<Metric> = Metric::ALL.into_iter().filter(|&metric| measured(metric)).collect();
        if columns.is_empty() {
            return;
        }
        let _ = write!(text, "\n## {}\n\n", work.title);
        if columns.contains(&Metric::Rate) {
            let _ = write!(text, "An operation is one {}. [Picture]({}.svg)\n\n", work.operation, work.id);
        }
        text.push_str("| |");
        columns.iter().for_each(|metric| {
            let _ = write!(text, " {} |", metric.title());
        });
        text.push_str("\n| --- |");
        text.push_str(&" ---: |".repeat(columns.len()));
        text.push('\n');
        for &subject in &work.subjects {
            if self.results.rounds(work.id, subject).is_empty() {
                continue;
            }
            let _ = write!(text, "| {} |", subject.name());
            for &metric in &columns {
                let value = self.results.samples(work.id, subject, metric).map_or_else(|| "–".into(), |samples| spread(&samples));
                let _ = write!(text, " {value} |");
            }
            text.push('\n');
        }
    }

    pub(crate) fn json(&self) -> String {
        let works: Vec<Value> = self.works.iter().map(|work| self.work_json(work)).collect();
        let targets: Vec<Value> = self
            .verdicts()
            .iter()
            .map(|verdict| {
                let (least, median, most) = verdict.samples.spread();
                json!({
                    "work": verdict.target.work, "figure": verdict.target.metric.key(), "wanted": verdict.target.wanted(),
                    "against": verdict.against.map(Subject::name), "median": median, "smallest": least, "largest": most,
                    "reached": verdict.reached, "margin": verdict.margin,
                })
            })
            .collect();
        let missing: Map<String, Value> =
            self.missing.iter().map(|(kind, why)| (kind.name().into(), why.as_str().into())).collect();
        let report = json!({
            "machine": self.machine, "rounds": self.rounds, "quick": self.quick,
            "targets": targets, "works": works, "missing": missing, "failures": self.results.failures(),
        });
        format!("{report:#}\n")
    }

    fn work_json(&self, work: &Work) -> Value {
        let subjects: Map<String, Value> = work
            .subjects
            .iter()
            .map(|&subject| {
                let rounds: Vec<Value> = self
                    .results
                    .rounds(work.id, subject)
                    .iter()
                    .map(|figures| {
                        let values =
                            Metric::ALL.into_iter().filter_map(|metric| Some((metric.key().into(), figures.get(metric)?.into())));
                        Value::Object(values.collect())
                    })
                    .collect();
                (subject.name().to_owned(), Value::Array(rounds))
            })
            .collect();
        json!({"work": work.id, "title": work.title, "operation": work.operation, "rounds": subjects})
    }
}
