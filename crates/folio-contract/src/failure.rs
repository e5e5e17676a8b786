//! Why a case failed.

use std::fmt;
use std::future::Future;
use std::panic::Location;

/// What a case returns: nothing, or why the driver does not hold the contract. Failed assertions may also panic.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Why a case failed, and where in the suite.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    message: String,
    at: &'static Location<'static>,
}

impl Failure {
    /// With a message for the person who has to find the fault.
    #[track_caller]
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), at: Location::caller() }
    }

    /// The same failure with something said before it.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }
}

/// `work`, whose failures are told as from the place that called the function around it (which is `#[track_caller]`).
#[track_caller]
pub(crate) fn here<T>(work: impl Future<Output = Outcome<T>>) -> impl Future<Output = Outcome<T>> {
    let at = Location::caller();
    async move { work.await.map_err(|failure| Failure { at, ..failure }) }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  at {}", self.message, self.at)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

impl From<folio::Error> for Failure {
    #[track_caller]
    fn from(error: folio::Error) -> Self {
        Self::new(format!("the driver answered {}: {error}", error.code()))
    }
}

/// Returns a [`Failure`] with a formatted message from the function around it.
#[macro_export]
macro_rules! fail {
    ($($message:tt)+) => {
        return Err($crate::Failure::new(format!($($message)+)))
    };
}
