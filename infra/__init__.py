"""The Pulumi program and the provider plugins it is deployed with."""
