//! The client against servers that misbehave, and against the real one.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod endtoend;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod streams;
