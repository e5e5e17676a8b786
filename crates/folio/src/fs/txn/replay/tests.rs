mod rig;
mod segments;
mod values;
