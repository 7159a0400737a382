//! A terminal for processes that print something only to people.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::printed::Printed;

/// Opens a terminal. Returns the standard output for a process, and what is printed there.
pub(crate) fn open() -> (Stdio, Arc<Printed>) {
    let (theirs, printed) = open_for_both();
    (Stdio::from(theirs), printed)
}

/// Opens a terminal for both outputs of a process.
pub(crate) fn open_for_both() -> (OwnedFd, Arc<Printed>) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    (theirs, Printed::collect(File::from(ours)))
}
