"""The outside world: DynamoDB, KMS, Secrets Manager and Twilio."""
