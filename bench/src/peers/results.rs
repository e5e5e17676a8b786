//! What was measured, by work, subject and round.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::peers::histogram::Histogram;
use crate::peers::servers::Process;
use crate::peers::works::Subject;
use crate::samples::Samples;

/// Kinds of figures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Metric {
    /// Operations per second.
    Rate,
    /// Megabytes per second.
    Megabytes,
    /// Milliseconds.
    Median,
    /// Milliseconds.
    P99,
    /// Milliseconds.
    Max,
    /// How many of the entries could be appended that should have been, in percent: a server that is behind shows here.
    Pace,
    /// Processor time of the server, in microseconds per operation.
    Cpu,
    /// Resident memory of the server in MiB, when it was done.
    Memory,
    /// KiB of the server's memory for each reader that waits.
    PerReader,
    /// The same, after each of them got one entry.
    PerReaderUsed,
    /// Milliseconds to open a store and append.
    Open,
    /// Milliseconds to remove the beginning of a log.
    Truncate,
}

impl Metric {
    pub(crate) const ALL: [Self; 12] = [
        Self::Rate,
        Self::Megabytes,
        Self::Median,
        Self::P99,
        Self::Max,
        Self::Pace,
        Self::Cpu,
        Self::Memory,
        Self::PerReader,
        Self::PerReaderUsed,
        Self::Open,
        Self::Truncate,
    ];

    /// How a column is headed.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rate => "a second",
            Self::Megabytes => "MB/s",
            Self::Median => "p50 ms",
            Self::P99 => "p99 ms",
            Self::Max => "max ms",
            Self::Pace => "pace kept %",
            Self::Cpu => "server CPU µs",
            Self::Memory => "memory MiB",
            Self::PerReader => "KiB a reader",
            Self::PerReaderUsed => "KiB a reader, after one entry",
            Self::Open => "open and append, ms",
            Self::Truncate => "truncate, ms",
        }
    }

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rate => "per_second",
            Self::Megabytes => "megabytes_per_second",
            Self::Median => "p50_ms",
            Self::P99 => "p99_ms",
            Self::Max => "max_ms",
            Self::Pace => "pace_percent",
            Self::Cpu => "cpu_us_per_operation",
            Self::Memory => "memory_mib",
            Self::PerReader => "kib_per_reader",
            Self::PerReaderUsed => "kib_per_reader_used",
            Self::Open => "open_ms",
            Self::Truncate => "truncate_ms",
        }
    }

    /// Larger is better.
    pub(crate) fn larger_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Megabytes | Self::Pace)
    }
}

/// The figures of one subject in one round.
#[derive(Clone, Default, Debug)]
pub(crate) struct Figures(BTreeMap<Metric, f64>);

impl Figures {
    pub(crate) fn set(mut self, metric: Metric, value: f64) -> Self {
        self.0.insert(metric, value);
        self
    }

    pub(crate) fn rate(self, rate: f64) -> Self {
        self.set(Metric::Rate, rate)
    }

    pub(crate) fn times(self, times: &Histogram) -> Self {
        self.set(Metric::Median, times.milliseconds(0.5))
            .set(Metric::P99, times.milliseconds(0.99))
            .set(Metric::Max, times.milliseconds(1.0))
    }

    pub(crate) fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).copied()
    }
}

/// What a server took while a number of operations was done.
#[derive(Debug)]
pub(crate) struct Usage {
    time: Duration,
    cpu: Duration,
    count: u64,
    memory: u64,
}

/// The beginning of a [`Usage`].
#[derive(Debug)]
pub(crate) struct Begin {
    at: Instant,
    cpu: Duration,
    count: u64,
}

impl Usage {
    pub(crate) fn begin(process: &Process, count: u64) -> Begin {
        Begin { cpu: process.cpu(), at: Instant::now(), count }
    }

    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// Rate, processor time and memory.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn figures(&self) -> Figures {
        let count = self.count as f64;
        Figures::default()
            .rate(count / self.time.as_secs_f64())
            .set(Metric::Cpu, self.cpu.as_secs_f64() * 1e6 / count)
            .set(Metric::Memory, self.memory as f64 / f64::from(1 << 20))
    }
}

impl Begin {
    pub(crate) fn end(self, process: &Process, count: u64) -> Usage {
        let time = self.at.elapsed();
        Usage { time, cpu: process.cpu().saturating_sub(self.cpu), count: count - self.count, memory: process.memory() }
    }
}

/// All figures of a run.
#[derive(Default, Debug)]
pub(crate) struct Results {
    rounds: BTreeMap<(&'static str, Subject), BTreeMap<usize, Figures>>,
    failures: Vec<String>,
}

impl Results {
    pub(crate) fn add(&mut self, work: &'static str, subject: Subject, round: usize, figures: Figures) {
        self.rounds.entry((work, subject)).or_default().insert(round, figures);
    }

    /// Something was wrong: these figures don't count, and neither does the run.
    pub(crate) fn fail(&mut self, why: String) {
        self.failures.push(why);
    }

    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    fn of(&self, work: &str, subject: Subject) -> Option<&BTreeMap<usize, Figures>> {
        self.rounds.iter().find(|((name, who), _)| *name == work && *who == subject).map(|(_, rounds)| rounds)
    }

    /// The figures of a subject, round by round; none where it was not measured.
    pub(crate) fn rounds(&self, work: &str, subject: Subject) -> Vec<&Figures> {
        self.of(work, subject).into_iter().flat_map(BTreeMap::values).collect()
    }

    /// One figure of a subject, of all rounds; nothing where it has none.
    pub(crate) fn samples(&self, work: &str, subject: Subject, metric: Metric) -> Option<Samples> {
        collect(self.rounds(work, subject).into_iter().filter_map(|figures| figures.get(metric)))
    }

    /// What one subject has for one of another, of the rounds in which both were measured.
    pub(crate) fn ratio(&self, work: &str, metric: Metric, of: Subject, to: Subject) -> Option<Samples> {
        let (of, to) = (self.of(work, of)?, self.of(work, to)?);
        collect(of.iter().filter_map(|(round, of)| Some(of.get(metric)? / to.get(round)?.get(metric)?)))
    }
}

/// Samples, where there are any.
fn collect(values: impl Iterator<Item = f64>) -> Option<Samples> {
    let (mut samples, mut any) = (Samples::default(), false);
    for value in values {
        samples.add(value);
        any = true;
    }
    any.then_some(samples)
}
