//! Every metric of the connector: name, help, labels.
