//! Models of the protocols, small enough to be walked whole. The code keeps to their steps.

mod explore;
mod fence;
mod first_use;
mod floors;
