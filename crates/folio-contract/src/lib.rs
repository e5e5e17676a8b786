//! folio-contract
