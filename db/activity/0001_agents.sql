CREATE TABLE `agents` (
	`attempt` text PRIMARY KEY NOT NULL,
	`node` text NOT NULL,
	`hash` text NOT NULL,
	`created_at` integer NOT NULL,
	`seen_at` integer NOT NULL,
	`reported_at` integer,
	`report` text
);
--> statement-breakpoint
CREATE UNIQUE INDEX `agents_hash` ON `agents` (`hash`);--> statement-breakpoint
CREATE INDEX `agents_node` ON `agents` (`node`,`created_at`);--> statement-breakpoint
CREATE TABLE `texts` (
	`digest` text PRIMARY KEY NOT NULL,
	`content` text NOT NULL,
	`used_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `texts_used` ON `texts` (`used_at`);--> statement-breakpoint
CREATE TABLE `trees` (
	`digest` text PRIMARY KEY NOT NULL,
	`list` text NOT NULL,
	`used_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `trees_used` ON `trees` (`used_at`);