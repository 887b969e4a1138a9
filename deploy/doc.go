// Package deploy holds what a person needs to run modelwatch with its servers:
// the Dockerfile, the settings that docker-compose.yml mounts, and the test that
// keeps the three in step. It has no code of its own.
package deploy
