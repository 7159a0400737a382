//! The files of `deploy` at work: the image, the compositions, the packages with the services of systemd.

mod compose;
mod engine;
mod image;
#[cfg(feature = "long")]
mod service;
