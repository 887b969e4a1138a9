package app

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/config"
)

// An engine that dies is started again, and one that has just died keeps
// nobody from stopping.
func TestEngineIsStartedAgain(t *testing.T) {
	t.Parallel()
	settings := config.Settings{Data: t.TempDir(), Monitors: t.TempDir()}
	settings.ClickHouse.Embedded = true
	servers, _, err := StartServers(t.Context(), settings, func(string) {}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	first := servers.present()
	first.Kill()
	for deadline := time.Now().Add(30 * time.Second); servers.present() == first; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the engine is not started again")
		}
	}
	if again := servers.present(); again.Addr() != first.Addr() {
		t.Errorf("it was at %s and is at %s", first.Addr(), again.Addr())
	}
	servers.present().Kill()
	began := time.Now()
	if err := servers.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}
