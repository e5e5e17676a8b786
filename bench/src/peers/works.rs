//! What is measured.

mod appends;
mod documents;
mod fanout;
mod files;
mod idle;
mod load;
mod long_log;
mod projects;
mod replay;

use std::path::PathBuf;
use std::time::Duration;

use crate::Result;
use crate::peers::results::Figures;
use crate::peers::servers::{Kind, Programs, Server};

/// Who does a work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Subject {
    Server(Kind),
    /// The machine itself: a loop without any server.
    Raw,
}

impl Subject {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server(kind) => kind.name(),
            Self::Raw => "raw",
        }
    }
}

/// Where and how long it is measured.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) programs: Programs,
    /// On the file system that is measured.
    pub(crate) place: PathBuf,
    /// Short, for a first look.
    pub(crate) quick: bool,
}

impl Scene {
    /// How long a rate is measured.
    fn time(&self) -> Duration {
        Duration::from_millis(if self.quick { 700 } else { 3_000 })
    }

    /// How long a server is warmed before.
    fn warming(&self) -> Duration {
        Duration::from_millis(if self.quick { 200 } else { 500 })
    }

    fn start(&self, kind: Kind) -> Result<Box<dyn Server>> {
        self.programs.start(kind, &self.place)
    }
}

/// Megabytes (of a million bytes) per second.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn megabytes(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / 1e6 / time.as_secs_f64()
}

type Run = Box<dyn Fn(&Scene, Subject) -> Result<Figures>>;

/// One work.
pub(crate) struct Work {
    /// Its name on the command line.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What an operation is called.
    pub(crate) operation: &'static str,
    pub(crate) subjects: Vec<Subject>,
    run: Run,
}

impl Work {
    fn new(
        id: &'static str,
        title: &'static str,
        operation: &'static str,
        subjects: &[Subject],
        run: impl Fn(&Scene, Subject) -> Result<Figures> + 'static,
    ) -> Self {
        Self { id, title, operation, subjects: subjects.to_vec(), run: Box::new(run) }
    }

    /// Measures one subject once; a result that is wrong is an error.
    pub(crate) fn run(&self, scene: &Scene, subject: Subject) -> Result<Figures> {
        (self.run)(scene, subject).map_err(|e| format!("{}, {}: {e}", self.id, subject.name()).into())
    }
}

/// All works, in the order of the report.
pub(crate) fn all() -> Vec<Work> {
    let all = [
        appends::works(),
        fanout::works(),
        idle::works(),
        replay::works(),
        long_log::works(),
        projects::works(),
        files::works(),
        documents::works(),
    ];
    all.into_iter().flatten().collect()
}
