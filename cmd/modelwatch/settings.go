package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/modelwatch/modelwatch/internal/config"
)

// usualSettings is the settings file that is read when none is named.
const usualSettings = "modelwatch.yaml"

// settingsFlags gives a command --config and a flag for each key of the
// settings. The function it returns loads them, and names the file, "" for none.
func (p *program) settingsFlags(cmd *cobra.Command) func() (*config.Settings, string, error) {
	var path string
	cmd.Flags().StringVar(&path, "config", "", "settings `file` (./"+usualSettings+" where it exists)")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // the flag exists
	keys := map[string]bool{}
	for _, k := range config.Keys() {
		keys[k.Name] = true
		cmd.Flags().String(k.Name, "", k.Usage)
	}
	return func() (*config.Settings, string, error) {
		if !cmd.Flags().Changed("config") {
			switch _, err := os.Stat(usualSettings); {
			case err == nil:
				path = usualSettings
			case !errors.Is(err, fs.ErrNotExist):
				return nil, "", err
			}
		}
		overrides := map[string]string{}
		cmd.Flags().Visit(func(f *pflag.Flag) {
			if keys[f.Name] {
				overrides[f.Name] = f.Value.String()
			}
		})
		s, err := config.Load(path, overrides, p.env)
		return s, path, err
	}
}
