//! The files of `deploy` at work: the image, the compositions, the packages with the services of systemd, the manifests.

mod compose;
mod engine;
mod image;
mod manifests;
#[cfg(feature = "long")]
mod service;
