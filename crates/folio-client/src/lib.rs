//! folio-client
