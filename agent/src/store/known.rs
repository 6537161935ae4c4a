//! What can be asked for: views and feature services.

use crate::config::feature::ServiceConfig;
use crate::model::feature::{Served, ViewShape};
use shared::config::nearest;
use shared::error::{Context, Error, Kind, Result};

/// A feature service: its name, and features as `view:feature`.
pub type Service = (String, Vec<String>);

/// What can be asked for.
#[derive(Debug)]
pub struct Known {
    /// As they are served at the moment.
    pub views: Served,
    pub services: Vec<Service>,
}

impl Known {
    /// `defined` are the views as they are defined now, which services speak of.
    ///
    /// # Errors
    /// `Config` for a service that names what is not there.
    pub fn new(views: Served, defined: &[ViewShape], services: &[ServiceConfig]) -> Result<Known> {
        let names: Vec<(&str, &[String])> =
            defined.iter().map(|view| (view.name.as_str(), view.features.as_slice())).collect();
        Ok(Known { views, services: resolve(services, &names)? })
    }
}

/// Feature services with every feature that they name, each checked against the views and their features.
pub fn resolve(services: &[ServiceConfig], views: &[(&str, &[String])]) -> Result<Vec<Service>> {
    let mut resolved: Vec<Service> = Vec::with_capacity(services.len());
    for service in services {
        let named = || format!("feature service {:?}", service.name);
        if resolved.iter().any(|(name, _)| *name == service.name) {
            return Err(Error::new(Kind::Config, "the name is taken by another feature service"))
                .doing(named);
        }
        let mut features = Vec::new();
        for text in &service.features {
            features.extend(one(text, views).doing(named)?);
        }
        resolved.push((service.name.clone(), features));
    }
    Ok(resolved)
}

fn one(text: &str, views: &[(&str, &[String])]) -> Result<Vec<String>> {
    let wrong = |what: String| Error::new(Kind::Config, what);
    let near = |error: Error, name: Option<&str>| match name {
        Some(name) => error.remedy(format!("did you mean `{name}`?")),
        None => error,
    };
    let (view, feature) =
        text.split_once(':').ok_or_else(|| wrong(format!("{text:?} must be written view:feature")))?;
    let Some((_, features)) = views.iter().find(|(name, _)| *name == view) else {
        let error = wrong(format!("unknown feature view `{view}`"));
        return Err(near(error, nearest(view, views.iter().map(|(name, _)| *name))));
    };
    if feature == "*" {
        return Ok(features.iter().map(|feature| format!("{view}:{feature}")).collect());
    }
    if features.iter().any(|known| known == feature) {
        return Ok(vec![text.to_owned()]);
    }
    let error = wrong(format!("unknown feature `{feature}` of view {view}"));
    Err(near(error, nearest(feature, features.iter().map(String::as_str))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_checked_against_views() {
        let features = ["n", "sum"].map(str::to_owned);
        let views: [(&str, &[String]); 1] = [("spend", &features)];
        let ask = |features: &[&str]| {
            let features = features.iter().map(|text| (*text).to_owned()).collect();
            resolve(&[ServiceConfig { name: "s".to_owned(), features }], &views)
        };
        let both = vec!["spend:n".to_owned(), "spend:sum".to_owned()];
        assert_eq!(ask(&["spend:*"]).expect("valid"), [("s".to_owned(), both)]);
        for (text, says, remedy) in [
            ("spent:n", "unknown feature view `spent`", "`spend`"),
            ("spend:sun", "unknown feature `sun`", "`sum`"),
            ("spend", "view:feature", ""),
        ] {
            let error = ask(&[text]).expect_err(says);
            assert!(error.to_string().contains(says) && error.hint().contains(remedy), "{error:?}");
        }
    }
}
