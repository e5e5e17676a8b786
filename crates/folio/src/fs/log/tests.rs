//! What only the files can show: their bytes, damage, other programs' edits. The rest is in the contract suite.

mod damage;
mod format;
mod rig;
