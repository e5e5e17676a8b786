//! The client against servers that misbehave.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod streams;
