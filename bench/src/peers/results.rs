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
    pub(crate) const ALL: [Self; 11] = [
        Self::Rate,
        Self::Megabytes,
        Self::Median,
        Self::P99,
        Self::Max,
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
        matches!(self, Self::Rate | Self::Megabytes)
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
    rounds: BTreeMap<(&'static str, Subject), Vec<Figures>>,
}

impl Results {
    pub(crate) fn add(&mut self, work: &'static str, subject: Subject, figures: Figures) {
        self.rounds.entry((work, subject)).or_default().push(figures);
    }

    /// The figures of a subject, round by round; none where it was not measured.
    pub(crate) fn rounds(&self, work: &str, subject: Subject) -> &[Figures] {
        let found = self.rounds.iter().find(|((name, who), _)| *name == work && *who == subject);
        found.map_or(&[], |(_, rounds)| rounds)
    }

    pub(crate) fn samples(&self, work: &str, subject: Subject, metric: Metric) -> Option<Samples> {
        let mut samples = Samples::default();
        let rounds = self.rounds(work, subject);
        for figures in rounds {
            samples.add(figures.get(metric)?);
        }
        (!rounds.is_empty()).then_some(samples)
    }

    /// What one subject has for one of another, round by round.
    pub(crate) fn ratio(&self, work: &str, metric: Metric, of: Subject, to: Subject) -> Option<Samples> {
        let (of, to) = (self.rounds(work, of), self.rounds(work, to));
        let mut samples = Samples::default();
        for (of, to) in of.iter().zip(to) {
            samples.add(of.get(metric)? / to.get(metric)?);
        }
        (!of.is_empty() && of.len() == to.len()).then_some(samples)
    }
}
