//! What only the files can show: their bytes, damage, other programs' edits. The rest is in the contract suite.

mod crash;
mod damage;
mod format;
mod hostile;
mod in_use;
mod lines;
mod lookout;
mod neighbours;
mod proofs;
mod rig;
