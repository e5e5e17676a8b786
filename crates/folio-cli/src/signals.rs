//! Ctrl-C and SIGTERM: the first asks to end, the second ends at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;

/// Told when the program was asked to end.
#[derive(Clone)]
pub(crate) struct Signals(watch::Receiver<Option<Exit>>);

impl Signals {
    /// Begins to listen, for the rest of the program.
    ///
    /// The task that listens runs beside the command, so a second signal ends the program whatever the command is
    /// stuck in. What was acknowledged is safe then as after any crash.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (send, receive) = watch::channel(None);
        tokio::spawn(async move {
            send.send_replace(Some(next(&mut interrupt, &mut terminate).await));
            let again = next(&mut interrupt, &mut terminate).await;
            std::process::exit(again.code().into());
        });
        Ok(Self(receive))
    }

    /// Waits for the first signal; the exit code that it stands for.
    pub(crate) async fn first(&mut self) -> Exit {
        let told = self.0.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        match told {
            Some(exit) => exit,
            // the listening task never ends before the program does
            None => std::future::pending().await,
        }
    }
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> Exit {
    tokio::select! {
        _ = interrupt.recv() => Exit::Interrupted,
        _ = terminate.recv() => Exit::Terminated,
    }
}
