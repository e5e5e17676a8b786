//! Waiting for many sockets at once.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use crate::Result;

/// Sockets that are watched for input.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(512) })
    }

    /// Watches a socket under a number of one's own.
    pub(crate) fn add(&self, stream: &TcpStream, number: usize) -> Result<()> {
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(number as u64), EventFlags::IN | EventFlags::RDHUP)?)
    }

    /// Waits until one of them has input or the time is over, and fills `ready` with the numbers of those that have.
    pub(crate) fn wait(&mut self, time: Duration, ready: &mut Vec<usize>) -> Result<()> {
        ready.clear();
        self.events.clear();
        let time = Timespec { tv_sec: time.as_secs().try_into()?, tv_nsec: time.subsec_nanos().into() };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            ready.push(usize::try_from(event.data.u64())?);
        }
        Ok(())
    }
}
