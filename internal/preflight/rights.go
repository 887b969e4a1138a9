package preflight

import (
	"context"
	"fmt"
	"strings"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/config"
)

// hintRights says where the least rights stand.
const hintRights = "docs/security.md lists the rights that are needed"

// maxRights bounds how many rights are named in one line.
const maxRights = 8

// Rights says which rights of a server's user are missing, which is an error,
// and which are too many, which is a warning; partly, that not all can be known.
func Rights(subject string, missing, extra []string, partly bool) []Finding {
	var out []Finding
	if len(missing) > 0 {
		out = append(out, Finding{Error, subject, "its user lacks the right " + some(missing), "grant it; " + hintRights})
	}
	if len(extra) > 0 {
		out = append(out, Finding{Warn, subject, "its user may do more than is needed: " + some(extra), "take it away, so that a stolen password does less harm; " + hintRights})
	}
	if partly {
		out = append(out, Finding{Note, subject, "the server does not tell what its user may do: only what changes nothing was tried", hintRights})
	}
	if len(out) == 0 {
		out = append(out, Finding{State: OK, Subject: subject, Message: "its user has the rights that are needed, and no others"})
	}
	return out
}

func some(rights []string) string {
	more := len(rights) - maxRights
	if more <= 0 {
		return strings.Join(rights, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(rights[:maxRights], ", "), more)
}

// What is asked of Kafka, and what is looked for beyond it. To describe the
// settings of a topic lets this program check them.
const (
	reads      = consumers.OperationRead | consumers.OperationDescribe
	writes     = consumers.OperationWrite | consumers.OperationDescribe
	unneeded   = consumers.OperationDelete | consumers.OperationAlter | consumers.OperationAlterConfigs
	groupNeeds = consumers.OperationRead
)

// KafkaRights says which rights on the topics of the monitors, on that of dead
// letters and on the group the user lacks, or has beyond need. The error is
// that of a cluster that cannot be asked.
func KafkaRights(ctx context.Context, cfg Config, client *consumers.Client, group string, monitors []config.Monitor, say func(Finding)) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	got, err := client.Rights(ctx, append(topics(monitors), consumers.DeadLetterTopic)...)
	if err != nil {
		return fmt.Errorf("asking Kafka for rights: %w", err)
	}
	if got.Open {
		say(Finding{Warn, "kafka", "its brokers keep no access lists: whoever reaches them may read, write and delete everything", hintRights})
		return nil
	}
	var missing, extra []string
	compare := func(has, need, beyond consumers.Operations, on string) {
		if m := need &^ has; m != 0 {
			missing = append(missing, m.String()+" on "+on)
		}
		if e := has & beyond; e != 0 {
			extra = append(extra, e.String()+" on "+on)
		}
	}
	for _, t := range got.Topics {
		letters := t.Name == consumers.DeadLetterTopic
		switch {
		case letters && t.Missing && t.Operations&writes == 0:
			say(Finding{Warn, "kafka", "topic " + t.Name + " does not exist, or its user may not know of it", "make it and grant Describe and Write, or grant Create too"})
		case letters:
			compare(t.Operations, writes, unneeded|consumers.OperationRead, "topic "+t.Name)
		case t.Missing && t.Operations&reads == 0: // what is told of topics says so
		default:
			compare(t.Operations, reads, unneeded|consumers.OperationWrite, "topic "+t.Name)
		}
	}
	compare(got.Group, groupNeeds, consumers.OperationDelete, "group "+group)
	for _, f := range Rights("kafka", missing, extra, false) {
		say(f)
	}
	return nil
}
