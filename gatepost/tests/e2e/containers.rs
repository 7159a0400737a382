//! The files of `deploy` at work: the image, and the compositions.

mod compose;
mod engine;
mod image;
