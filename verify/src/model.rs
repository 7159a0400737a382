//! Models of the protocols, small enough to be walked whole. The code keeps to their steps.

mod explore;
mod fenced_revocation;
mod first_use;
mod watermarks;
