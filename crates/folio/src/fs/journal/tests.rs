mod bytes;
mod checkpoint;
mod group;
mod recycling;
mod rig;
mod settling;
mod stores;
