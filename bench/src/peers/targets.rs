//! What is wanted of Folio, and whether it is so.

use crate::peers::results::{Metric, Results};
use crate::peers::servers::Kind;
use crate::peers::works::Subject;
use crate::report::number;
use crate::samples::Samples;

/// What a figure of Folio's is held against.
#[derive(Clone, Copy, Debug)]
enum Against {
    /// The peer whose median is best.
    Best,
    /// This one.
    One(Subject),
    /// A figure of its own.
    Nothing,
}

/// One target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) work: &'static str,
    pub(crate) metric: Metric,
    against: Against,
    bound: f64,
}

const FOLIO: Subject = Subject::Server(Kind::Folio);
const NGINX: Subject = Subject::Server(Kind::Nginx);

const fn best(work: &'static str, metric: Metric, bound: f64) -> Target {
    Target { work, metric, against: Against::Best, bound }
}

const fn to(work: &'static str, metric: Metric, subject: Subject, bound: f64) -> Target {
    Target { work, metric, against: Against::One(subject), bound }
}

const fn alone(work: &'static str, metric: Metric, bound: f64) -> Target {
    Target { work, metric, against: Against::Nothing, bound }
}

/// All targets. Where larger is better the bound is the least, elsewhere the most.
pub(crate) const ALL: &[Target] = &[
    best("append-1", Metric::Rate, 1.0),
    best("append-16", Metric::Rate, 1.2),
    best("append-128", Metric::Rate, 1.2),
    alone("append-128", Metric::Cpu, 10.0),
    best("append-32-logs", Metric::Rate, 1.2),
    best("fanout-burst", Metric::Rate, 1.0),
    best("fanout-burst", Metric::Cpu, 1.0),
    best("fanout-1000", Metric::P99, 0.8),
    best("fanout-5000", Metric::P99, 0.8),
    alone("idle", Metric::PerReader, 1.2),
    alone("replay-events", Metric::Rate, 3_000_000.0),
    to("replay-lines", Metric::Megabytes, NGINX, 0.8),
    alone("long-log-10m", Metric::Open, 5.0),
    alone("long-log-10m", Metric::Truncate, 50.0),
    alone("projects", Metric::Memory, 64.0),
    to("files-small", Metric::Rate, NGINX, 0.6),
    to("files-large", Metric::Megabytes, NGINX, 0.9),
    to("files-put", Metric::Rate, Subject::Raw, 0.8),
    to("documents", Metric::Rate, Subject::Raw, 4.0),
];

/// How a target stands after a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) target: Target,
    /// Whom it was held against.
    pub(crate) against: Option<Subject>,
    pub(crate) samples: Samples,
    pub(crate) reached: bool,
    /// How far beyond the bound the median is, as a part of it; negative where it is missed.
    pub(crate) margin: f64,
}

impl Target {
    /// What is wanted, in words.
    pub(crate) fn wanted(&self) -> String {
        let sign = if self.metric.larger_is_better() { "≥" } else { "≤" };
        let unit = if matches!(self.against, Against::Nothing) { "" } else { " ×" };
        format!("{sign} {}{unit}", number(self.bound))
    }

    /// How many times better than wanted a value is; below 1 it is worse.
    pub(crate) fn factor(&self, value: f64) -> f64 {
        if self.metric.larger_is_better() { value / self.bound } else { self.bound / value }
    }

    /// How it stands; nothing where it, or what it is held against, was not measured.
    pub(crate) fn judge(self, results: &Results) -> Option<Verdict> {
        let against = match self.against {
            Against::Best => Some(best_peer(results, self.work, self.metric)?),
            Against::One(subject) => Some(subject),
            Against::Nothing => None,
        };
        let samples = match against {
            Some(peer) => results.ratio(self.work, self.metric, FOLIO, peer)?,
            None => results.samples(self.work, FOLIO, self.metric)?,
        };
        let (_, median, _) = samples.spread();
        let margin = if self.metric.larger_is_better() { median / self.bound - 1.0 } else { 1.0 - median / self.bound };
        Some(Verdict { target: self, against, samples, reached: margin >= 0.0, margin })
    }
}

/// The peer whose median is the best.
fn best_peer(results: &Results, work: &str, metric: Metric) -> Option<Subject> {
    let peers = [Kind::DurableStreams, Kind::Redis, Kind::Nats, Kind::Nginx].map(Subject::Server);
    let medians = peers.into_iter().filter_map(|peer| Some((peer, results.samples(work, peer, metric)?.spread().1)));
    let best = medians.max_by(|(_, a), (_, b)| if metric.larger_is_better() { a.total_cmp(b) } else { b.total_cmp(a) });
    best.map(|(peer, _)| peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::results::Figures;

    fn results(folio: &[f64], redis: &[f64], nats: &[f64], metric: Metric) -> Results {
        let mut results = Results::default();
        for (kind, values) in [(Kind::Folio, folio), (Kind::Redis, redis), (Kind::Nats, nats)] {
            for (round, &value) in values.iter().enumerate() {
                results.add("append-1", Subject::Server(kind), round, Figures::default().set(metric, value));
            }
        }
        results
    }

    #[test]
    fn ratios_are_those_of_the_rounds_and_to_the_best() {
        let verdict = best("append-1", Metric::Rate, 1.0)
            .judge(&results(&[10.0, 30.0, 44.0], &[20.0, 20.0, 20.0], &[1.0, 99.0, 1.0], Metric::Rate))
            .unwrap();
        assert_eq!(verdict.against, Some(Subject::Server(Kind::Redis)));
        assert_eq!(verdict.samples.spread(), (0.5, 1.5, 2.2));
        assert!(verdict.reached && (verdict.margin - 0.5).abs() < 1e-9);
    }

    #[test]
    fn less_is_better_for_times() {
        let judge = |folio| best("append-1", Metric::P99, 0.8).judge(&results(&[folio], &[10.0], &[12.0], Metric::P99)).unwrap();
        assert!(judge(8.0).reached);
        assert!(!judge(8.1).reached);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        assert!(best("append-1", Metric::Rate, 1.0).judge(&results(&[1.0], &[], &[], Metric::Rate)).is_none());
        assert!(best("append-1", Metric::Rate, 1.0).judge(&results(&[], &[1.0], &[1.0], Metric::Rate)).is_none());
    }
}
