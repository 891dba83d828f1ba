//! What crosses process or machine borders, tried from outside.
